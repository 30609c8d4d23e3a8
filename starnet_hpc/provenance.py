"""Where an artefact comes from: digests of inputs, versions of software, and the recipe that made it."""

import hashlib
import json
import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc import __version__

_PACKAGES = ("numpy", "numba", "zarr", "dask", "torch", "mpi4py", "submitit", "astropy", "scipy")
_DIGEST_BYTES = 16


def digest_bytes(data: bytes | memoryview) -> str:
    """Return a 32-character digest (BLAKE2b) of some bytes."""
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()


def digest_array(array: NDArray[Any]) -> str:
    """Return the digest of an array's values, byte order and shape."""
    contiguous = np.ascontiguousarray(array)
    head = f"{contiguous.dtype.str}{contiguous.shape}".encode()
    digest = hashlib.blake2b(head, digest_size=_DIGEST_BYTES)
    digest.update(contiguous.view(np.uint8).data if contiguous.size else b"")
    return digest.hexdigest()


def digest_recipe(recipe: Mapping[str, Any]) -> str:
    """Return the digest of a mapping of plain values; the order of its keys does not matter."""
    return digest_bytes(json.dumps(recipe, sort_keys=True, separators=(",", ":")).encode())


def digest_file(path: Path) -> str:
    """Return the digest of a file's bytes."""
    with path.open("rb") as file:
        digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return one line `key: theirs -> ours` for every value in which two recipes differ."""
    lines: list[str] = []
    for key in dict.fromkeys([*theirs, *ours]):
        old, new, name = theirs.get(key), ours.get(key), f"{prefix}{key}"
        if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
            old, new = dict(enumerate(old)), dict(enumerate(new))
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            lines += differences(new, old, prefix=f"{name}.")
        elif old != new:
            lines.append(f"{name}: {_brief(old)} -> {_brief(new)}")
    return lines


@lru_cache(maxsize=1)
def software() -> dict[str, str]:
    """Return the versions of this package, of Python and of the packages that shape results."""
    versions = {"starnet_hpc": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "absent"
    return versions


def _brief(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
