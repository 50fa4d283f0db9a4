"""Fitting: the loop, the loss (equation 10), the density of the data, and the wording of pairs."""

BANDWIDTHS = ("scaled", "isotropic")
"""Kinds of kernel width for the density; here, so that a command line can name them without loading torch."""
