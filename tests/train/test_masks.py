"""Augmentations vii and viii: which pixels are set to zero while training."""

import numpy as np
import pytest
import torch
from torch import Tensor

from starnet_hpc.train.masks import PixelMask

PIXELS, ROWS, MOST = 2000, 400, 0.1
NONE = torch.zeros(PIXELS, dtype=torch.bool)
FLUX = torch.ones(ROWS, PIXELS)


def zeroed(epoch: int, rows: Tensor | None = None, *, member: int = 0, seed: int = 3, most: float = MOST) -> Tensor:
    rows = torch.arange(ROWS) if rows is None else rows
    return PixelMask(seed, member, NONE, most).train(FLUX[: rows.numel()], rows, epoch) == 0


def test_never_more_than_the_largest_share_of_a_spectrum_is_zeroed() -> None:
    shares = torch.cat([zeroed(epoch) for epoch in range(10)]).double().mean(dim=1)
    assert shares.max().item() <= MOST
    assert shares.max().item() > 0.9 * MOST  # and all of it is used: 4,000 draws


def test_the_share_is_uniform_up_to_the_largest() -> None:
    shares = torch.cat([zeroed(epoch) for epoch in range(10)]).double().mean(dim=1).numpy() / MOST
    # 4,000 draws: the empirical distribution is within 1.95 / sqrt(4000) = 0.031 in 99.9 % of all cases; that a share
    # is made of whole pixels adds 0.005.
    grid = np.linspace(0.05, 0.95, 19)
    np.testing.assert_allclose([(shares < x).mean() for x in grid], grid, atol=0.036)


def test_all_pixels_are_zeroed_equally_often() -> None:
    counts = torch.stack([zeroed(epoch) for epoch in range(20)]).double().sum(dim=(0, 1))
    expected = 20 * ROWS * MOST / 2  # 400 of 8,000; scatter 20 and a little from the shares
    assert (counts - expected).abs().max().item() < 6 * 22
    ends = counts[-200:].mean() / counts[:200].mean()
    assert ends.item() == pytest.approx(1.0, abs=0.015)  # scatter 0.005


def test_pixels_are_drawn_anew_in_each_epoch() -> None:
    assert not torch.equal(zeroed(0), zeroed(1))


def test_what_is_zeroed_is_a_function_of_row_and_epoch_only() -> None:
    everything = zeroed(4)
    chosen = torch.tensor([17, 3, 250])
    assert torch.equal(zeroed(4, chosen), everything[chosen])


def test_rows_members_and_experiments_have_masks_of_their_own() -> None:
    masks = [zeroed(0), zeroed(0, member=1), zeroed(0, seed=4)]
    assert len({mask.numpy().tobytes() for mask in masks}) == 3
    some = masks[0][masks[0].any(dim=1)]  # a share of nearly 0 is no pixel at all
    assert len({row.numpy().tobytes() for row in some}) == some.shape[0] > 0.98 * ROWS


def test_rows_beyond_32_bits_of_pixels_still_have_masks_of_their_own() -> None:
    far = torch.tensor([2_000_000, 2_000_000 + 2**21, 2_000_000 + 2**32 // PIXELS])
    assert len({row.numpy().tobytes() for row in zeroed(0, far)}) == 3


def test_no_pixel_is_zeroed_if_none_shall_be() -> None:
    assert not zeroed(0, most=0.0).any()


def test_telluric_windows_are_always_zero_and_nothing_else_is_without_training() -> None:
    tellurics = NONE.clone()
    tellurics[100:120] = True
    mask = PixelMask(3, 0, tellurics, MOST)
    assert torch.equal(mask.always(FLUX) == 0, tellurics.expand(ROWS, -1))
    trained = mask.train(FLUX, torch.arange(ROWS), 0) == 0
    assert bool(trained[:, 100:120].all())
    assert trained[:, 120:].sum() > 0
