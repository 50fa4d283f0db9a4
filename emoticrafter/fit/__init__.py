"""Fitting: the loop, the loss (equation 10), the density of the data, and the wording of pairs."""
