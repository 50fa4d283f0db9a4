"""Images of ComfyUI's links."""

import pytest
import torch

from emoticrafter.images import colours


def test_transparency_lies_on_white_and_grey_has_three_colours():
    red, hidden, half = (1.0, 0.0, 0.0, 1.0), (0.2, 0.4, 0.6, 0.0), (0.0, 0.0, 0.0, 0.5)
    images = torch.tensor([red, hidden, half]).reshape(1, 1, 3, 4)
    assert colours(images)[0, 0].tolist() == [[1, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5]]
    assert colours(torch.tensor([0.25, 0.0]).reshape(1, 1, 1, 2)).flatten().tolist() == [1, 1, 1]
    assert colours(torch.full((1, 1, 1, 1), 0.25)).flatten().tolist() == [0.25] * 3
    opaque = torch.rand(2, 3, 4, 3)
    assert torch.equal(colours(opaque), opaque)
    for wrong in (torch.zeros(1, 2, 2, 5), torch.zeros(2, 2, 3), torch.zeros(0, 2, 2, 3)):
        with pytest.raises(ValueError, match="images have the shape"):
            colours(wrong)
