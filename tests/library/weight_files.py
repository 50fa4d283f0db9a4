"""What the tests of network files share: a small network's sizes, a published file, and how a file is refused."""

from pathlib import Path

import pytest

from emoticrafter import NetworkConfig, load_network

REFERENCE = Path(__file__).parents[1] / "reference" / "published_layout_tiny.pth"
CONFIG = NetworkConfig(feature_width=24, width=64, depth=1, emotion_tokens=2, emotion_hidden=4, positions=8)


def refusal(path, **options):
    with pytest.raises(ValueError) as error:
        load_network(path, **options)
    assert path.name in str(error.value)
    return str(error.value)
