"""Which reader answers to which `survey.format`, and which format a file is."""

from pathlib import Path
from typing import Any

from starnet_hpc.errors import ConfigError, ObservationFormatError
from starnet_hpc.grids.fitsfile import FITS_ENDINGS, first_bytes, opened_fits
from starnet_hpc.observations.eso import EsoSdp
from starnet_hpc.observations.espadons import Espadons
from starnet_hpc.observations.harps import Harps
from starnet_hpc.observations.ispec import ISpec
from starnet_hpc.observations.spectrum import Glimpse, ObservationReader, ObservedSpectrum
from starnet_hpc.observations.specutils import Specutils
from starnet_hpc.observations.text import Text
from starnet_hpc.observations.textfile import unpacked

_ALL: tuple[ObservationReader, ...] = (EsoSdp(), Harps(), Espadons(), ISpec(), Text(), Specutils())
"""A file is of the first format that recognises it, so the strict ones come first."""

READERS: dict[str, ObservationReader] = {reader.format: reader for reader in _ALL}
"""Readers by the name of their format, which is also the value of `survey.format`."""

_HEAD = 16_384
"""Bytes of a text file that readers are shown."""


def identify(path: Path) -> str:
    """Return the format of a file, the first that recognises it.

    Raises:
        ObservationFormatError: none does.
        MissingInputError: there is no such file.
    """
    head = first_bytes(path, _HEAD, ObservationFormatError)
    if head.startswith(b"SIMPLE  =") or path.name.lower().endswith(FITS_ENDINGS):
        with opened_fits(path, ObservationFormatError) as hdus:
            found = _recognised(Glimpse(path, head, hdus))
            contents = f"its HDUs: {_shapes(hdus)}" if found is None else ""
    else:
        if path.name.lower().endswith(".gz"):
            head = unpacked(first_bytes(path, -1, ObservationFormatError), path)[:_HEAD]
        found = _recognised(Glimpse(path, head, None))
        contents = f"it begins with {head[:40]!r}"
    if found is None:
        raise ObservationFormatError(
            f"{path}: is of no format known here ({', '.join(READERS)}); {contents}. "
            f"If it is one of them after all, set survey.format to have it read as that, and told what is wrong"
        )
    return found


def read_observation(path: Path, observation_format: str | None) -> ObservedSpectrum:
    """Return the spectrum in a file, in the medium and frame that the file has it in (see `declared.settled`).

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


def _recognised(glimpse: Glimpse) -> str | None:
    return next((name for name, reader in READERS.items() if reader.recognises(glimpse)), None)


def _shapes(hdus: Any) -> str:
    return ", ".join(f"{type(hdu).__name__} {hdu.shape if hdu.is_image else hdu.columns.names}" for hdu in hdus)
