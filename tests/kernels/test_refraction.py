"""Air and vacuum against published wavelengths, VALD's own inverse, and other refractive indices."""

import numpy as np
import pytest
from specutils.utils.wcs_utils import vac_to_air

from starnet_hpc.kernels.refraction import air_to_vacuum, vacuum_to_air

OPTICAL = np.geomspace(3000.0, 11_000.0, 2001)


@pytest.mark.parametrize(
    ("vacuum", "air"),
    [
        (5891.583264, 5889.950954),  # Na D2, D1: NIST Atomic Spectra Database (Peck & Reeder's index)
        (5897.558147, 5895.924237),
    ],
)
def test_published_pairs_of_wavelengths_agree(vacuum: float, air: float) -> None:
    assert vacuum_to_air(np.array([vacuum]))[0] == pytest.approx(air, abs=1e-4)
    assert air_to_vacuum(np.array([air]))[0] == pytest.approx(vacuum, abs=1e-4)


@pytest.mark.parametrize("method", ["Morton2000", "Ciddor1996", "PeckReeder1972", "Edlen1953"])
def test_other_formulae_agree_to_a_few_metres_per_second(method: str) -> None:
    """The measured indices themselves differ by up to 2.3e-8, 7 m/s; with Morton's formula only rounding does."""
    from astropy import units as u

    theirs = vac_to_air(OPTICAL * u.AA, method=method).to_value(u.AA)
    limit = 1e-13 if method == "Morton2000" else 2.5e-8
    np.testing.assert_allclose(vacuum_to_air(OPTICAL), theirs, rtol=limit)


def test_the_inverse_is_that_of_vald() -> None:
    """Piskunov's fit of the inverse for VALD3; his residuals are below 1e-5 A in the optical."""
    s2 = (1e4 / OPTICAL) ** 2
    n = 1 + 0.00008336624212083 + 0.02408926869968 / (130.1065924522 - s2) + 0.0001599740894897 / (38.92568793293 - s2)
    np.testing.assert_allclose(air_to_vacuum(OPTICAL), OPTICAL * n, rtol=0, atol=1e-5)


def test_there_and_back_is_where_one_was() -> None:
    wide = np.geomspace(1000.0, 100_000.0, 20_001)
    np.testing.assert_allclose(air_to_vacuum(vacuum_to_air(wide)), wide, rtol=1e-14)
    assert (np.diff(vacuum_to_air(wide)) > 0).all()  # through the end of the formula at 2000 A, too
