"""Which reader answers to which `survey.format`, and which format a file is."""

from pathlib import Path

from starnet_hpc.errors import ConfigError, ObservationFormatError
from starnet_hpc.grids.fitsfile import opened_fits
from starnet_hpc.observations.eso import EsoSdp
from starnet_hpc.observations.ispec import ISpec
from starnet_hpc.observations.spectrum import ObservationReader, ObservedSpectrum

_ALL: tuple[ObservationReader, ...] = (EsoSdp(), ISpec())

READERS: dict[str, ObservationReader] = {reader.format: reader for reader in _ALL}
"""Readers by the name of their format, which is also the value of `survey.format`."""


def identify(path: Path) -> str:
    """Return the format of a file, the first that recognises it.

    Raises:
        ObservationFormatError: none does.
        MissingInputError: there is no such file.
    """
    with opened_fits(path, ObservationFormatError) as hdus:
        for name, reader in READERS.items():
            if reader.recognises(hdus):
                return name
        shapes = ", ".join(f"{type(hdu).__name__} {hdu.shape if hdu.is_image else hdu.columns.names}" for hdu in hdus)
    raise ObservationFormatError(
        f"{path}: is of no format known here ({', '.join(READERS)}); its HDUs: {shapes}. "
        f"If it is one of them after all, set survey.format to have it read as that, and told what is wrong"
    )


def read_observation(path: Path, observation_format: str | None) -> ObservedSpectrum:
    """Return the spectrum in a file.

    Args:
        path: of the file.
        observation_format: its format; None asks the file.

    Raises:
        ConfigError: there is no such format; the message lists those that there are.
        ObservationFormatError: the file is damaged, or of another format.
        MissingInputError: there is no such file.
    """
    chosen = observation_format or identify(path)
    if chosen not in READERS:
        raise ConfigError(f"survey.format: there is no {chosen!r}; give one of {', '.join(READERS)}, or leave it out")
    return READERS[chosen].read(path)
