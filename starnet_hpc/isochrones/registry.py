"""Which reader a file of isochrones is for: the file is asked."""

from pathlib import Path

from starnet_hpc.errors import IsochroneFormatError, MissingInputError
from starnet_hpc.isochrones import mist, parsec, tables
from starnet_hpc.isochrones.isochrone import Isochrone

_HDF5 = b"\x89HDF\r\n\x1a\n"
_HEAD = 4000
"""Letters in which a file says what it is."""


def read_isochrones(path: Path) -> list[Isochrone]:
    """Return the isochrones of a file: PARSEC (CMD), MIST (.iso, .iso.cmd), or a table (CSV, HDF5) of one's own.

    Raises:
        MissingInputError: there is no such file.
        IsochroneFormatError: it is none of these, is damaged, or has no isochrone.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise MissingInputError(f"{path}: there is no such file of isochrones") from None
    except OSError as error:
        raise IsochroneFormatError(f"{path}: cannot be read ({error.strerror})") from None
    found = tables.read_hdf5(path) if content.startswith(_HDF5) else _of_text(path, content)
    if not found:
        raise IsochroneFormatError(f"{path}: has no isochrone, only a header; download it again")
    return found


def _of_text(path: Path, content: bytes) -> list[Isochrone]:
    text = content.decode("utf-8", "replace")
    head = text[:_HEAD]
    if mist.MARK in head:
        return mist.read_mist(path, text)
    if parsec.MARK in head:
        return parsec.read_parsec(path, text)
    if "teff" in text.partition("\n")[0]:
        return tables.read_csv(path, text)
    raise IsochroneFormatError(
        f"{path}: is no file of isochrones that is known: expected PARSEC (of the CMD web interface), MIST (.iso or "
        f".iso.cmd), or a table (CSV, HDF5) with columns teff and logg"
    )
