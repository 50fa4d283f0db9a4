"""The training loss under its public name; `emoticrafter.fit.loss` holds the code."""

from emoticrafter.fit.loss import emotion_loss

__all__ = ["emotion_loss"]
