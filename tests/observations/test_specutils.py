"""Files that specutils reads: units, masks and uncertainties arrive; what it does not say has to be said."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import InverseVariance, StdDevUncertainty
from astropy.table import Table
from specutils import Spectrum

from starnet_hpc.errors import ConfigError, MissingInputError, ObservationFormatError
from starnet_hpc.observations import identify, read_observation

WAVELENGTH = 5000.0 + 0.02 * np.arange(200)
FLUX = np.linspace(1.0, 2.0, 200)


def written(path: Path, axis: Any = None, **more: Any) -> Path:
    """Write a FITS table as specutils does."""
    axis = WAVELENGTH * u.AA if axis is None else axis
    known = {"uncertainty": StdDevUncertainty(FLUX / 50 * u.Jy), **more}
    Spectrum(flux=FLUX * u.Jy, spectral_axis=axis, **known).write(path, format="tabular-fits")
    return path


def test_flux_errors_and_wavelengths_arrive(tmp_path: Path) -> None:
    back = read_observation(written(tmp_path / "s.fits"), "specutils")
    np.testing.assert_allclose(back.wavelength, WAVELENGTH, rtol=1e-12)
    np.testing.assert_allclose(back.flux, FLUX)
    np.testing.assert_allclose(back.error, FLUX / 50)
    assert (back.medium, back.frame, back.snr) == (None, None, None)


def test_units_of_length_are_converted_and_frequencies_are_those_of_vacuum(tmp_path: Path) -> None:
    micron = read_observation(written(tmp_path / "um.fits", WAVELENGTH * 1e-4 * u.um), "specutils")
    np.testing.assert_allclose(micron.wavelength, WAVELENGTH, rtol=1e-12)
    assert micron.medium is None
    hertz = (WAVELENGTH * u.AA).to(u.GHz, equivalencies=u.spectral())
    back = read_observation(written(tmp_path / "hz.fits", hertz), "specutils")
    np.testing.assert_allclose(back.wavelength, WAVELENGTH, rtol=1e-12)  # turned round, too
    np.testing.assert_allclose(back.flux, FLUX)
    assert back.medium == "vacuum"


def test_other_kinds_of_uncertainty_become_standard_deviations(tmp_path: Path) -> None:
    ivar = InverseVariance((FLUX / 50) ** -2 / u.Jy**2)
    back = read_observation(written(tmp_path / "s.fits", uncertainty=ivar), "specutils")
    np.testing.assert_allclose(back.error, FLUX / 50)


def test_masked_pixels_are_bad(tmp_path: Path) -> None:
    """SDSS' loader sets a mask where the inverse variance is zero."""
    ivar = np.full(200, 4.0)
    ivar[7] = 0.0
    rows = Table({"flux": FLUX, "loglam": np.log10(WAVELENGTH), "ivar": ivar, "and_mask": (ivar == 0).astype(int)})
    hdus = [fits.PrimaryHDU(), fits.BinTableHDU(rows, name="COADD"), fits.BinTableHDU(Table({"x": [1]}))]
    hdus[0].header.update({"TELESCOP": "SDSS 2.5-M", "FIBERID": 1, "VERS2D": "v5_13_2"})
    path = tmp_path / "spec-0001-00001-0001.fits"
    fits.HDUList(hdus).writeto(path)
    back = read_observation(path, "specutils")
    assert back.bad[7]
    assert np.count_nonzero(back.bad) == 1
    np.testing.assert_allclose(back.error[:7], 0.5)
    np.testing.assert_allclose(back.wavelength, WAVELENGTH, rtol=1e-12)


@pytest.mark.parametrize(("kind", "medium"), [("AWAV", "air"), ("WAVE", "vacuum")])
def test_medium_frame_and_object_come_from_the_header_of_a_linear_axis(tmp_path: Path, kind: str, medium: str) -> None:
    hdu = fits.PrimaryHDU(FLUX)
    hdu.header.update({"CTYPE1": kind, "CUNIT1": "Angstrom", "CRVAL1": 5000.0, "CDELT1": 0.02, "CRPIX1": 1.0})
    hdu.header.update({"SPECSYS": "BARYCENT", "OBJECT": "HD 1", "BUNIT": "Jy"})
    hdu.writeto(tmp_path / "s.fits")
    back = read_observation(tmp_path / "s.fits", "specutils")
    np.testing.assert_allclose(back.wavelength, WAVELENGTH, rtol=1e-9)
    assert (back.medium, back.frame, back.identifier) == (medium, "barycentric", "HD 1")


def test_what_it_cannot_read_is_our_error(tmp_path: Path) -> None:
    path = tmp_path / "s.fits"
    with pytest.raises(MissingInputError, match="there is no such file"):
        read_observation(path, "specutils")
    path.write_bytes(b"")
    with pytest.raises(ObservationFormatError, match="is empty"):
        read_observation(path, "specutils")
    path.write_bytes(b"nothing that anybody knows")
    with pytest.raises(ObservationFormatError, match=r"specutils cannot read it \(.*is it damaged"):
        read_observation(path, "specutils")
    many = tmp_path / "many.fits"
    axis = WAVELENGTH * u.AA
    Spectrum(flux=np.ones((3, 200)) * u.Jy, spectral_axis=axis).write(many, format="tabular-fits")
    with pytest.raises(ObservationFormatError, match=r"finds 3 spectra of 200 pixels; write each to a file of its own"):
        read_observation(many, "specutils")


def test_it_is_never_chosen_without_being_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "s.fits"
    fits.PrimaryHDU(np.ones((5, 5))).writeto(path)
    with pytest.raises(ObservationFormatError, match="is of no format known here"):
        identify(path)


def test_without_the_extra_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "specutils", None)  # as if it were not installed
    (tmp_path / "s.fits").write_bytes(b"x")
    with pytest.raises(ConfigError, match=r"pip install 'starnet-hpc\[specutils\]'"):
        read_observation(tmp_path / "s.fits", "specutils")
