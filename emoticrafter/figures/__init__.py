"""Draws figures: pictures in rows and columns with axes, and points on the valence-arousal plane."""
