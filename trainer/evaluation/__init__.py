"""Measures generated images: how they follow the valence and arousal that were asked for, and what it costs."""
