"""Frozen models and pictures whose emotion is known; the second stage, in which an emotion network learns from both."""
