"""What wavelengths mean: medium and velocity frame, as a file or the user declares them, and never by a guess."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.errors import ConfigError, ObservationFormatError
from starnet_hpc.kernels.pixels import C_KMS
from starnet_hpc.kernels.refraction import vacuum_to_air
from starnet_hpc.observations.spectrum import Frame, Medium, ObservedSpectrum

_FASTEST_TELESCOPE = 40.0
"""The Earth's motion gives a telescope 30.8 km/s at most [km/s]."""


@dataclass(frozen=True)
class Declared:
    """What the user says of all files of a survey; None leaves it to the files."""

    medium: Medium | None = None
    frame: Frame | None = None


def settled(spectrum: ObservedSpectrum, declared: Declared, path: Path) -> ObservedSpectrum:
    """Return a spectrum with its wavelengths in air and its frame known: rest or barycentric.

    The user's word goes first, with a remark where it contradicts the file's. Vacuum becomes air. The telescope's frame
    becomes the barycentre's if the user says that wavelengths are topocentric, with the velocity from the header.

    Raises:
        ConfigError: neither the file nor the user says which medium or frame it is.
        ObservationFormatError: topocentric wavelengths, and no velocity in the header to correct them with.
    """
    return _in_frame(_in_air(spectrum, declared.medium, path), declared.frame, path)


def _in_air(spectrum: ObservedSpectrum, said: Medium | None, path: Path) -> ObservedSpectrum:
    medium = said or spectrum.medium
    if medium is None:
        raise ConfigError(
            f"survey.medium: {path}: whether wavelengths are in air or in vacuum cannot be told (at 5000 A they differ "
            f"by 83 km/s); set survey.medium to air or vacuum"
        )
    remarks = spectrum.remarks
    if spectrum.medium is not None and spectrum.medium != medium:
        remarks += (f"wavelengths taken as {medium}, though the file says {spectrum.medium}",)
    elif medium == "vacuum" and said is None:
        remarks += ("wavelengths converted from vacuum to air, since the file says vacuum",)
    wavelength = vacuum_to_air(spectrum.wavelength) if medium == "vacuum" else spectrum.wavelength
    return replace(spectrum, wavelength=wavelength, medium="air", remarks=remarks)


def _in_frame(spectrum: ObservedSpectrum, said: Frame | None, path: Path) -> ObservedSpectrum:
    header = spectrum.extra.get("SPECSYS", "")
    if said == "topocentric":
        return _barycentric(spectrum, path)
    if said is not None:
        contradicted = bool(header or spectrum.frame) and spectrum.frame != said
        named = f"SPECSYS is {header}" if header else f"the file is {spectrum.frame}"
        remarks = (f"taken as {said}, though {named}",) if contradicted else ()
        return replace(spectrum, frame=said, remarks=spectrum.remarks + remarks)
    if spectrum.frame is None or spectrum.frame == "topocentric":
        heading = f"its header says SPECSYS = {header}" if header else "its header does not say"
        remedy = "set survey.frame to rest or barycentric"
        if spectrum.frame == "topocentric":
            remedy += ", or to topocentric to have wavelengths corrected by the velocity in the header"
        raise ConfigError(
            f"survey.frame: {path}: whether wavelengths are at rest or barycentric cannot be told ({heading}); {remedy}"
        )
    return spectrum


def _barycentric(spectrum: ObservedSpectrum, path: Path) -> ObservedSpectrum:
    """Return a topocentric spectrum in the barycentre's frame."""
    if spectrum.frame not in (None, "topocentric"):
        raise ObservationFormatError(
            f"{path}: is {spectrum.frame} by its header, and would be corrected twice; leave survey.frame out, or "
            f"observe such files in a survey of their own"
        )
    velocity = spectrum.barycentric_kms
    if velocity is None:
        raise ObservationFormatError(
            f"{path}: is topocentric, and its header has no barycentric velocity (ESO QC VRAD BARYCOR, BERV) to "
            f"correct it with; correct the wavelengths, and set survey.frame to barycentric"
        )
    if not abs(velocity) < _FASTEST_TELESCOPE:
        raise ObservationFormatError(
            f"{path}: a barycentric correction of {velocity:g} km/s is more than the Earth's motion; correct the header"
        )
    return replace(
        spectrum,
        wavelength=_shifted(spectrum.wavelength, velocity),
        frame="barycentric",
        remarks=(*spectrum.remarks, "corrected from topocentric to barycentric by the velocity in the header"),
    )


def _shifted(wavelength: NDArray[np.float64], velocity: float) -> NDArray[np.float64]:
    """Return wavelengths [n] as they were for an observer who recedes from the star slower by `velocity` [km/s]."""
    beta = velocity / C_KMS
    return wavelength * float(np.sqrt((1.0 + beta) / (1.0 - beta)))
