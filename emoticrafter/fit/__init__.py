"""Fitting: the loop, the loss (equation 10), the density of the data, and the wording of pairs."""

BANDWIDTHS = ("scaled", "isotropic")
"""How wide the density's kernel is; here, so that a command line can name it without loading torch."""
