"""Readers that measure a picture's valence and arousal, and the methods that the paper compares with."""
