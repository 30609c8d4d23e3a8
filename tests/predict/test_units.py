"""What a unit of work says of spectra that some members cannot use."""

from pathlib import Path

import numpy as np
import torch

from starnet_hpc.networks import Member, build_network, load_member
from starnet_hpc.predict.units import fold, joined, member_moments, read_unit, write_unit
from tests import support


def test_a_spectrum_without_anything_in_a_members_windows_has_no_labels_from_it(tmp_path: Path) -> None:
    config = support.ready_to_train(tmp_path / "run")
    known = support.trained_on(config)
    given = torch.arange(60, 120)
    members = [
        Member(k, build_network(config.network, known.pixels, 3, given=windows).eval(), known, f"digest {k}")
        for k, windows in enumerate((None, given))
    ]
    flux = np.ones((5, known.pixels), dtype=np.float32)
    flux[1, 60:120] = 0.0  # all that the second member sees
    flux[2, 60:119] = 0.0
    tellurics = np.zeros(known.pixels, dtype=bool)
    tellurics[:60] = True
    flux[3, 60:] = 0.0  # and nothing is left outside of the telluric windows
    flux[4, 200] = np.nan
    slots = member_moments(members, 2, flux, tellurics, batch_size=2, device="cpu")
    known_rows = np.isfinite(slots[:, :, :-1]).all(axis=(2, 3))
    np.testing.assert_array_equal(known_rows, [[True, True, True, False, False], [True, False, True, False, False]])


def test_the_distance_of_a_spectrum_is_the_mean_of_those_that_members_know_if_all_of_them_do(tmp_path: Path) -> None:
    config = support.ready_to_predict(tmp_path / "run")
    members = [load_member(config.member_dir(k) / "best.pt") for k in range(2)]
    flux = np.random.default_rng(1).uniform(0.5, 1.0, (5, support.PIXELS)).astype(np.float32)
    flux[2] = np.nan
    tellurics = np.zeros(support.PIXELS, dtype=bool)
    found = fold(member_moments(members, 2, flux, tellurics, batch_size=2, device="cpu"))
    own = []
    for member in members:
        assert member.features is not None
        with torch.inference_mode():
            own.append(member.features.distance(member.network.hidden(torch.from_numpy(flux))).numpy())
    np.testing.assert_array_equal(np.isnan(found.distance), np.arange(5) == 2)
    # Batches of another size change float32 sums by parts in a million.
    np.testing.assert_allclose(found.distance, np.mean(own, axis=0), rtol=1e-4)
    old = load_member(support.write_member(config, 1, features=False))
    mixed = fold(member_moments([members[0], old], 2, flux, tellurics, batch_size=2, device="cpu"))
    assert np.isnan(mixed.distance).all()
    np.testing.assert_array_equal(mixed.mean, found.mean)


def test_a_unit_is_read_as_it_was_written_and_units_are_joined_in_their_order(tmp_path: Path) -> None:
    slots = np.random.default_rng(2).uniform(1.0, 2.0, (3, 8, 4, 4))
    slots[..., 0] = 1.0
    whole = fold(slots, keep_members=True)
    for unit, rows in enumerate((slice(0, 5), slice(5, 8))):
        write_unit(tmp_path / f"{unit}.npz", fold(slots[:, rows], keep_members=True), "recipe")
    parts = [read_unit(tmp_path / f"{unit}.npz", "recipe") for unit in (0, 1)]
    assert read_unit(tmp_path / "0.npz", "other") is None
    for name, values in vars(joined([part for part in parts if part is not None])).items():
        np.testing.assert_array_equal(values, getattr(whole, name))
    assert whole.members.shape == (3, 8, 3)
    assert fold(slots).members.shape == (0, 8, 3)
