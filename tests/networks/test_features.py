"""Where the last hidden layer puts spectra, and how far from the training spectra that is."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis

from starnet_hpc.networks import FeatureMoments, FeatureSpace, load_member
from starnet_hpc.stores import open_store
from tests import support

ROWS, FEATURES = 4000, 6


def features(key: int = 1, rows: int = ROWS) -> torch.Tensor:
    """Features of which some go together, as large as those behind a ReLU."""
    generator = np.random.default_rng(key)
    mixed = generator.standard_normal((rows, FEATURES)) @ np.random.default_rng(0).standard_normal((FEATURES, FEATURES))
    return torch.from_numpy(3.0 + mixed).float()


def space(hidden: torch.Tensor) -> FeatureSpace:
    return FeatureSpace.of([FeatureMoments.of(hidden)])


def test_the_distance_is_that_of_mahalanobis_over_the_root_of_the_number_of_features() -> None:
    known, new = features(), features(key=2, rows=20) * 2.0
    inverse = np.linalg.inv(np.cov(known.double().numpy().T))
    mean = known.double().numpy().mean(axis=0)
    expected = [mahalanobis(row, mean, inverse) / np.sqrt(FEATURES) for row in new.double().numpy()]
    # The ridge is a thousandth of the mean variance: of the smallest one, here, a few per cent.
    np.testing.assert_allclose(space(known).distance(new), expected, rtol=0.05)


def test_training_spectra_are_at_a_distance_of_about_one() -> None:
    known = features()
    assert space(known).distance(known).square().mean().item() == pytest.approx(1.0, abs=0.02)  # again the ridge


def test_what_no_training_spectrum_does_is_far_away_however_small_it_is() -> None:
    generator = np.random.default_rng(5)
    first = torch.from_numpy(generator.standard_normal((ROWS, 1))).float()
    known = torch.cat([first, first + 0.05 * torch.randn(ROWS, 1, generator=torch.Generator().manual_seed(1))], dim=1)
    usual, unusual = space(known).distance(torch.tensor([[1.0, 1.0], [1.0, -1.0]]))
    assert usual < 1.0
    assert unusual > 10.0


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6))
@settings(deadline=None)  # the first example starts torch
def test_moments_of_parts_are_those_of_the_whole(sizes: list[int]) -> None:
    known = features(rows=sum(sizes)) + 1e3  # a large mean must not cost the small scatter its digits
    parts = [FeatureMoments.of(part) for part in torch.split(known, sizes)]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.merge(part)
    apart = known.double() - known.double().mean(dim=0)
    assert whole.rows == sum(sizes)
    np.testing.assert_allclose(whole.mean, known.double().mean(dim=0), rtol=1e-12)
    np.testing.assert_allclose(whole.scatter, apart.T @ apart, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("rows", [1, 3])
def test_features_that_are_always_zero_and_few_spectra_give_numbers(rows: int) -> None:
    known = features(rows=rows)
    known[:, 2] = 0.0
    found = space(known).distance(features(key=3, rows=5))
    assert torch.isfinite(found).all()
    assert torch.isfinite(space(torch.zeros(4, 3)).distance(torch.zeros(1, 3))).all()


def test_a_loaded_member_knows_the_distance_of_spectra_from_those_it_was_trained_on(tmp_path: Path) -> None:
    config = support.ready_to_predict(tmp_path / "run", survey=16, ensemble={"members": 1})
    member, store = load_member(config.member_dir(0) / "best.pt"), open_store(config.store("train"), made_by="augment")
    assert member.features is not None
    flux = torch.from_numpy(store.read(0, len(store))).float()
    with torch.inference_mode():
        usual = member.features.distance(member.network.hidden(flux))
        other = member.features.distance(member.network.hidden(1.0 + 3.0 * (flux - 1.0)))
    # 64 spectra cannot fill 16 directions evenly behind a ReLU, and the ridge takes its part.
    assert 0.6 < usual.square().mean().sqrt() <= 1.0
    assert other.median() > usual.max()
