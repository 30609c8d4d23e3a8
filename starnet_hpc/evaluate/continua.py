"""The files with spectra before their continuum is removed, and with the bias of that continuum."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile, is_zipfile

import numpy as np

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import StoreDamagedError
from starnet_hpc.evaluate import words
from starnet_hpc.statistics import Floats

_Found = TypeVar("_Found")


@dataclass(frozen=True)
class Examples:
    """A few spectra before and after the continuum was removed; arrays [spectra, pixels]."""

    wavelength: Floats
    flux: Floats
    continuum: Floats
    """As it was found."""
    true_continuum: Floats
    """NaN where it is not known."""
    titles: tuple[str, ...]
    """What each of them is, in words."""


@dataclass(frozen=True)
class Bias:
    """How far off the continuum is found, for templates at some levels of noise."""

    offset: Floats
    """Median over the pixels of found over reference, less 1 [templates, levels]."""
    noise: Floats
    """Standard deviation of a pixel's noise over the median flux [levels]."""
    teff: Floats
    """[templates], K."""
    against_truth: bool
    """Whether the reference is the true continuum, or the one that is found without noise."""


@dataclass(frozen=True)
class Continua:
    """All three files; None where one is not there."""

    held_out: Examples | None
    survey: Examples | None
    bias: Bias | None


def read_continua(config: ExperimentConfig, names: tuple[str, ...]) -> Continua:
    """Read what is there.

    Args:
        config: of the experiment.
        names: of the labels of the example spectra.

    Raises:
        StoreDamagedError: a file is there, but is not what it should be.
    """
    folder = config.run_dir
    return Continua(
        _read(folder / "examples.npz", "augment", lambda file: _held_out(file, names)),
        _read(folder / "survey_examples.npz", "observe", _observed) if config.survey is not None else None,
        _read(folder / "continuum_bias.npz", "augment", _bias),
    )


def _read(path: Path, made_by: str, read: Callable[[Any], _Found]) -> _Found | None:
    if not path.exists():
        return None
    try:
        if not is_zipfile(path):  # NumPy would take it for a pickle, and advise to load it
            raise ValueError("it is no archive of arrays")
        # Opened here, since NumPy leaves a file open that it fails on.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return read(file)
    except (KeyError, ValueError, IndexError, OSError, EOFError, BadZipFile) as error:
        raise StoreDamagedError(
            f"{path}: not the file that `starnet-hpc {made_by} CONFIG` writes ({error}); remove it, and run that again "
            f"(or do without)"
        ) from None


def _held_out(file: Mapping[str, Any], names: tuple[str, ...]) -> Examples:
    labels, snr = _floats(file["labels"]), _floats(file["snr"])
    titles = [
        ", ".join([*(_label(name, row[k]) for k, name in enumerate(names) if name != "vrad"), f"S/N {ratio:.0f}"])
        for row, ratio in zip(labels, snr, strict=True)
    ]
    return _examples(file, titles)


def _observed(file: Mapping[str, Any]) -> Examples:
    pairs = zip(file["id"].tolist(), file["snr"].tolist(), strict=True)
    return _examples(file, [f"{name}, S/N {snr:.0f}" if np.isfinite(snr) else str(name) for name, snr in pairs])


def _examples(file: Mapping[str, Any], titles: list[str]) -> Examples:
    flux, continuum = _floats(file["flux"]), _floats(file["continuum"])
    true = _floats(file["true_continuum"]) if "true_continuum" in file else np.full_like(flux, np.nan)
    return Examples(_floats(file["wavelength"]), flux, continuum, true, tuple(titles))


def _label(name: str, value: float) -> str:
    return f"{words.plain(name)} {words.value(name, float(value))} {words.unit(name)}".removesuffix(" dex")


def _bias(file: Mapping[str, Any]) -> Bias:
    teff = _floats(file["labels"])[:, file["label_names"].tolist().index("teff")]
    return Bias(_floats(file["offset"]), _floats(file["noise"]), teff, bool(file["against_truth"]))


def _floats(values: Any) -> Floats:
    return np.asarray(values, dtype=np.float64)
