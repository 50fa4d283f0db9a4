"""Fits a field of emotion: least squares over the plane of what a mood changes in text features, on average.

    fit = FieldFit()
    for difference, valence, arousal in differences:
        fit.add(difference, valence, arousal)
    directions = fit.solve()

Only sums are kept, 25 times the size of one difference: any number of pairs fits, and the field can be asked for after
any of them.
"""

import torch
from torch import Tensor

from ..field import POINTS, field_basis

RIDGE = 1.0
"""Prior pairs at each point whose difference is 0: shrinks points that few pairs have reached."""


class FieldFit:
    """The sums of a least-squares fit on the bilinear basis of the 25 points.

    Attributes:
        pairs: How many have been added.
    """

    def __init__(self):
        self.pairs = 0
        self._gram = torch.zeros(POINTS, POINTS, dtype=torch.float64)
        self._moments: Tensor | None = None  # [25, P, D] float32, on the device of the differences

    def add(self, difference: Tensor, valence: float, arousal: float) -> None:
        """Adds a pair: emotional less neutral features, [P, D].

        Raises:
            ValueError: Another shape than before.
        """
        at = torch.tensor([valence, arousal], dtype=torch.float64)
        basis = field_basis(at[:1], at[1:]).squeeze(0)  # [25]
        if self._moments is None:
            self._moments = difference.new_zeros(POINTS, *difference.shape)
        if difference.shape != self._moments.shape[1:]:
            raise ValueError(
                f"The text encoder gave features of shape {list(difference.shape)} after "
                f"{list(self._moments.shape[1:])}: expected one shape for all prompts."
            )
        # a pair touches the four points around it: sum of basis x basis, and of basis x difference
        self._gram += torch.outer(basis, basis)
        for point in basis.nonzero().flatten().tolist():
            self._moments[point] += basis[point].item() * difference
        self.pairs += 1

    def solve(self) -> Tensor:
        """The directions, [25, P, D] float32: least sum over pairs of |basis @ directions - difference|^2.

        RIDGE |directions|^2 is added to it.

        Raises:
            ValueError: There are no pairs.
        """
        if self._moments is None:
            raise ValueError("There are no pairs to fit a field to.")
        inverse = torch.linalg.inv(self._gram + RIDGE * torch.eye(POINTS, dtype=torch.float64))
        return torch.einsum("kl,lpd->kpd", inverse.to(self._moments), self._moments)
