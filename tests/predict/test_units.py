"""What a unit of work says of spectra that some members cannot use."""

from pathlib import Path

import numpy as np
import torch

from starnet_hpc.networks import Member, build_network
from starnet_hpc.predict.units import member_moments
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
    known_rows = np.isfinite(slots).all(axis=(2, 3))
    np.testing.assert_array_equal(known_rows, [[True, True, True, False, False], [True, False, True, False, False]])
