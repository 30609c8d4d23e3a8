"""Which files of a folder belong to a grid: one pass over the names, fast for 100,000 of them."""

import os
from collections.abc import Callable
from pathlib import Path

from starnet_hpc.errors import MissingInputError, StarnetError


def listed_files(
    folder: Path, belongs: Callable[[str], bool], what: str, error: type[StarnetError], key: str, *, depth: int = 0
) -> list[Path]:
    """Return the files of a folder whose names `belongs` accepts, sorted by name.

    Args:
        folder: where to look.
        belongs: says of a file's name whether it is one.
        what: is looked for, for messages ("FITS file (*.fits)").
        error: what to raise when the folder cannot be read.
        key: the configuration's key that named the folder, for messages.
        depth: subfolders are entered so many levels deep.

    Raises:
        MissingInputError: there is no such folder, or no such file in it.
    """
    files, folders = _scan(folder, belongs, error, key)
    below = [(path, depth - 1) for path in folders]
    while below:
        inner, left = below.pop()
        if left < 0:
            continue
        more, deeper = _scan(inner, belongs, error, key)
        files += more
        below += [(path, left - 1) for path in deeper]
    if not files:
        raise nothing_in(folder, what, key)
    return sorted(files, key=lambda path: (path.name, path))


def file_state(path: Path) -> tuple[int, int]:
    """Return size [bytes] and time [ns] of a file, so that what was remembered of another one is not taken for it.

    Raises:
        MissingInputError: there is no such file.
    """
    try:
        status = path.stat()
    except OSError:
        raise MissingInputError(f"{path}: there is no such file") from None
    return status.st_size, status.st_mtime_ns


def files_ending(folder: Path, endings: tuple[str, ...], error: type[StarnetError], key: str) -> list[Path]:
    """Return the files directly in a folder whose names have one of these endings (in any case), sorted; none hidden.

    Raises:
        MissingInputError: there is no such folder.
    """
    files, _ = _scan(folder, lambda name: name.lower().endswith(endings), error, key)
    return sorted(files)


def nothing_in(folder: Path, what: str, key: str) -> MissingInputError:
    """Return the error for a folder without a file of a kind, which says what else is there."""
    found = _entries(folder, MissingInputError, key)
    folders = sorted(name for name, is_folder in found if is_folder)[:5]
    hint = f"; it has subfolders ({', '.join(folders)}): did you mean one of them?" if folders else ""
    return MissingInputError(f"{key}: {folder} holds no {what} among {len(found)} entries{hint}")


def _scan(
    folder: Path, belongs: Callable[[str], bool], error: type[StarnetError], key: str
) -> tuple[list[Path], list[Path]]:
    """Return the files that belong and are not hidden, and the folders."""
    found = _entries(folder, error, key)
    files = [folder / name for name, is_folder in found if not is_folder and name[0] != "." and belongs(name)]
    return files, [folder / name for name, is_folder in found if is_folder]


def _entries(folder: Path, error: type[StarnetError], key: str) -> list[tuple[str, bool]]:
    """Return name and whether it is a folder, of all in a folder."""
    try:
        with os.scandir(folder) as entries:
            return [(entry.name, entry.is_dir()) for entry in entries]
    except FileNotFoundError:
        raise MissingInputError(f"{key}: there is no folder {folder}; set {key} to where the files are") from None
    except NotADirectoryError:
        raise MissingInputError(f"{key}: {folder} is a file; set {key} to the folder that holds the files") from None
    except PermissionError:
        raise error(f"{key}: {folder}: permission denied; ask its owner for read and search permission") from None
