"""Batches of latents: repeated, passed, or refused."""

import pytest
import torch

from emoticrafter.latents import latent_per_point


def latent(images: int, **others) -> dict:
    return {"samples": torch.arange(images * 4.0).reshape(images, 4, 1, 1), **others}


def test_one_latent_is_repeated_with_the_same_noise_for_all():
    one = latent(1, noise_mask=torch.ones(1, 8, 8))
    batch = latent_per_point(one, 3)
    assert torch.equal(batch["samples"], one["samples"].expand(3, 4, 1, 1))
    assert batch["batch_index"] == [0, 0, 0]
    assert batch["noise_mask"] is one["noise_mask"]
    assert one.keys() == {"samples", "noise_mask"}


def test_the_noise_of_a_chosen_latent_stays():
    assert latent_per_point(latent(1, batch_index=[7]), 2)["batch_index"] == [7, 7]


def test_a_batch_that_fits_passes_as_it_is_and_another_is_refused_with_both_numbers():
    for images in (1, 4):
        given = latent(images)
        assert latent_per_point(given, images) is given
    for images, count in ((2, 25), (25, 5), (2, 1), (0, 3)):
        told = f"holds {images} images, but there are {count} points: expected 1, which"
        with pytest.raises(ValueError, match=told):
            latent_per_point(latent(images), count)
