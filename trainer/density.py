"""The density of valence-arousal pairs under its public name; `emoticrafter.fit.density` holds the code."""

from emoticrafter.fit.density import Density, fit_density

__all__ = ["Density", "fit_density"]
