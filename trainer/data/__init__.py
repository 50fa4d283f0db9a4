"""Pairs of prompts with valence and arousal: read, written, reviewed."""
