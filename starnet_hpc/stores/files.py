"""Files that are either whole or absent."""

import contextlib
import errno
import fcntl
import io
import json
import os
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from starnet_hpc.errors import RunDirectoryBusyError, StorageFullError

_AT_ONCE = 16
"""Files that are flushed together."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file aside through `write(file)`, flush it to the disk, and rename it into place.

    Raises:
        StorageFullError: the disk or the quota is full; whatever stood at `path` before is untouched.
    """
    # Not the process's number: the jobs of an array write the same file from several machines.
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    with explain_full_disk(path):
        try:
            with aside.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise


def write_json(path: Path, value: object) -> None:
    """Write JSON text atomically."""
    text = json.dumps(value, indent=1, allow_nan=False)
    write_atomically(path, lambda file: file.write(text.encode()))


def read_json(path: Path) -> Any:
    """Return the value in a JSON file; ValueError if it is none."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_arrays(path: Path, **arrays: ArrayLike) -> None:
    """Write arrays by name into one .npz file, atomically."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]  # a keyword of NumPy's own has another type
    write_atomically(path, lambda file: file.write(buffer.getvalue()))


def read_arrays(path: Path) -> dict[str, NDArray[Any]] | None:
    """Return the arrays in a file by name; None if it is not there, or not whole."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
            return dict(saved)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def flush(*paths: Path) -> None:
    """Make sure that files, and all files of folders, are on the disk and not only in the machine's memory."""
    found = (file for path in paths for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())
    # The disk is asked for many at once: one after the other, each waits for an answer of its own.
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(_flush_file, found):
            pass


def _flush_file(file: Path) -> None:
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers left in a folder: files of theirs that were never renamed into place."""
    for file in folder.rglob("*.partial"):
        file.unlink(missing_ok=True)


@contextlib.contextmanager
def explain_full_disk(path: Path) -> Iterator[None]:
    """Turn "no space left" from any library into one message that names the place and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL or isinstance(error, StorageFullError):
            raise
        raise StorageFullError(
            f"{path}: no space left on the disk (or a quota or a limit of file sizes is reached). What was finished is "
            f"kept: free some space or move run_dir, then run the same command again"
        ) from error


def lock_file(path: Path) -> Path:
    """Return the lock of a store, or of a folder; its time says when the build began that went on last."""
    return path.with_name(f".{path.name}.lock")


@contextlib.contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Hold the lock of a store while it is being written.

    Raises:
        RunDirectoryBusyError: another live process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with lock_file(path).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunDirectoryBusyError(
                f"{path}: another process is writing this store; wait for it, or stop it first"
            ) from None
        except OSError as error:  # a file system without locks: better to work unguarded than not at all
            if error.errno not in {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}:
                raise
        yield
