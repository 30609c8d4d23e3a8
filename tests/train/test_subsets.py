"""Random subsets: those of an independent implementation, and as even as chance allows."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from starnet_hpc.train.subsets import PixelSubsets

KEY = (0x9E12_3456, 0x7890_ABCD)
WORD = 2**64 - 1


def drawn(pixels: int, most: int, rows: list[int] | range, key: tuple[int, int] = KEY) -> NDArray[np.bool_]:
    return PixelSubsets(pixels, most, torch.device("cpu")).drawn(torch.tensor(list(rows)), key).numpy()


# --- the same in Python's integers ------------------------------------------------------------------------------------


def mixed(word: int) -> int:
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 & WORD
    word = (word ^ word >> 27) * 0x94D049BB133111EB & WORD
    return word ^ word >> 31


def split_mix(state: int) -> Iterator[int]:
    while True:
        state = state + 0x9E3779B97F4A7C15 & WORD
        yield mixed(state)


def expected(pixels: int, most: int, row: int) -> set[int]:
    side = math.ceil(math.sqrt(pixels))
    numbers = split_mix(mixed(row ^ KEY[0] << 32 ^ KEY[1]))

    def uniform(below: int) -> int:
        return (next(numbers) >> 32) * below >> 32

    count = uniform(most + 1)
    rounds = [[uniform(side) for _ in range(side)] for _ in range(6)]
    found: list[int] = []
    for place in range(side**2):
        left, right = divmod(place, side)
        for table in rounds:
            left, right = right, (left + table[right]) % side
        if left * side + right < pixels:
            found.append(left * side + right)
    assert sorted(found) == list(range(pixels)), "no permutation"
    return set(found[:count])


def test_the_reference_is_split_mix() -> None:
    numbers = split_mix(0)  # the first numbers of its authors' program
    assert [next(numbers) for _ in range(3)] == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@pytest.mark.parametrize(
    ("pixels", "most"), [(1, 1), (2, 2), (5, 1), (100, 10), (101, 101), (120, 60), (121, 12), (122, 12), (2000, 200)]
)
def test_subsets_are_those_of_the_reference(pixels: int, most: int) -> None:
    rows = [0, 1, 17, 2**31, 2**40 + 5]
    for row, found in zip(rows, drawn(pixels, most, rows), strict=True):
        assert set(np.flatnonzero(found).tolist()) == expected(pixels, most, row)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU: torch sees none")
def test_a_gpu_draws_the_same_bits() -> None:
    rows = torch.arange(100, device="cuda")
    found = PixelSubsets(39_436, 3943, rows.device).drawn(rows, KEY).cpu().numpy()
    np.testing.assert_array_equal(found, drawn(39_436, 3943, range(100)))


# --- chance -----------------------------------------------------------------------------------------------------------

PIXELS, MOST, ROWS = 2000, 200, 12_000
SIDE = 45


@pytest.fixture(scope="module")
def many() -> NDArray[np.bool_]:
    return drawn(PIXELS, MOST, range(ROWS))


def test_every_number_of_pixels_is_equally_likely(many: NDArray[np.bool_]) -> None:
    counts = np.bincount(many.sum(axis=1), minlength=MOST + 1)
    assert counts.size == MOST + 1
    share = ROWS / (MOST + 1)
    chi2 = ((counts - share) ** 2 / share).sum()
    assert abs(chi2 - MOST) < 4 * math.sqrt(2 * MOST)  # 200 degrees of freedom


def test_every_pixel_is_equally_likely(many: NDArray[np.bool_]) -> None:
    # Given its number n in a row, a pixel is drawn with chance n / pixels.
    chance = many.sum(axis=1, keepdims=True) / PIXELS
    z = (many - chance).sum(axis=0) / math.sqrt((chance * (1 - chance)).sum())
    assert np.abs(z).max() < 4.5  # of 2,000
    assert abs((z**2).mean() - 1) < 4 * math.sqrt(2 / PIXELS)


@pytest.mark.parametrize("lag", [1, 2, 3, SIDE - 1, SIDE, SIDE + 1, 2 * SIDE, 7 * SIDE, 1000])
def test_pixels_are_drawn_independently_of_others_at_any_distance(many: NDArray[np.bool_], lag: int) -> None:
    # Pairs of n pixels out of all, given n; with three rounds neighbours are found.
    pairs = (many[:, lag:] & many[:, :-lag]).sum(axis=1)
    n = many.sum(axis=1)
    chance = n * (n - 1) / PIXELS / (PIXELS - 1)
    excess = pairs - (PIXELS - lag) * chance
    assert abs(excess.mean()) < 4 * excess.std() / math.sqrt(ROWS)


@pytest.mark.parametrize(("width", "shift"), [(SIDE, 0), (100, 37), (20, 0)])
def test_a_stretch_of_the_spectrum_has_as_many_pixels_as_chance_gives(
    many: NDArray[np.bool_], width: int, shift: int
) -> None:
    stretches = (PIXELS - shift) // width
    counts = many[:, shift : shift + stretches * width].reshape(ROWS, stretches, width).sum(axis=2)
    n = many.sum(axis=1, keepdims=True)
    variance = n * (width / PIXELS) * (1 - width / PIXELS) * (PIXELS - n) / (PIXELS - 1)  # hypergeometric
    ratio = ((counts - n * width / PIXELS) ** 2).sum() / (stretches * variance.sum())
    assert ratio == pytest.approx(1, abs=0.015)  # the scatter of 12,000 rows is 0.003; 0.02 is seen with four rounds


@pytest.mark.parametrize("apart", ["rows", "keys", "keys of one bit"])
def test_neighbouring_rows_and_keys_have_no_more_pixels_in_common_than_chance_gives(
    many: NDArray[np.bool_], apart: str
) -> None:
    key = KEY if apart == "rows" else (KEY[0] ^ 1, KEY[1]) if apart == "keys of one bit" else (1, 2)
    one, other = (many[:-1], many[1:]) if apart == "rows" else (many, drawn(PIXELS, MOST, range(ROWS), key))
    n, m = one.sum(axis=1), other.sum(axis=1)
    excess = (one & other).sum(axis=1) - n * m / PIXELS
    variance = n * m / PIXELS * (PIXELS - n) / PIXELS * (PIXELS - m) / (PIXELS - 1)  # hypergeometric
    assert abs(excess.mean()) < 4 * math.sqrt(variance.mean() / len(n))
    assert (excess**2).mean() / variance.mean() == pytest.approx(1, abs=0.08)
    assert abs(np.corrcoef(n, m)[0, 1]) < 4 / math.sqrt(len(n))
