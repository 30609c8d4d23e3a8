"""Everything that the report is made from, read once."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import MissingInputError, StoreDamagedError
from starnet_hpc.evaluate.catalogues import Catalogue, check_ids, read_catalogue
from starnet_hpc.evaluate.continua import Continua, read_continua
from starnet_hpc.evaluate.sample import Sample
from starnet_hpc.evaluate.validations import Validations, read_validations
from starnet_hpc.instruments import Instrument, load_instrument
from starnet_hpc.labels import LABELS
from starnet_hpc.statistics import Floats
from starnet_hpc.stores import Store, open_store

BENCHMARK = "benchmark"
"""Survey rows whose group begins with this are stars with published labels."""
_ALWAYS = ("epoch", "train_loss", "valid_loss", "learning_rate", "seconds")
_SINCE = (
    *("valid_seconds", "spectra_per_s", "data_share", "forward_share", "backward_share", "optimiser_share"),
    *("other_share", "host_gb", "gpu_gb", "restarts"),
)
"""Columns of a member's history (`docs/training.md`)."""


@dataclass(frozen=True)
class Training:
    """What the ensemble was trained on; statistics in each label's unit."""

    store: Store
    spectra: int
    templates: int
    snr: Floats
    std: Mapping[str, float]
    low: Mapping[str, float]
    high: Mapping[str, float]

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that the networks were trained to predict."""
        return tuple(self.std)

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Smallest and largest value of each label."""
        return {label: (self.low[label], self.high[label]) for label in self.labels}


@dataclass(frozen=True)
class Test:
    """Held-out synthetic spectra and their predictions."""

    __test__ = False  # pytest: not a class of tests

    store: Store
    catalogue: Catalogue
    sample: Sample


@dataclass(frozen=True)
class Survey:
    """Observed (or simulated) spectra and their predictions."""

    store: Store
    catalogue: Catalogue
    sample: Sample
    group: NDArray[np.object_]

    @property
    def benchmarks(self) -> NDArray[np.bool_]:
        """Rows that are benchmark stars [n]."""
        return np.array([str(name).startswith(BENCHMARK) for name in self.group], dtype=bool)


@dataclass(frozen=True)
class History:
    """One member's training, one entry an epoch; NaN where an epoch does not tell."""

    member: int
    columns: Mapping[str, Floats]

    def __getitem__(self, name: str) -> Floats:
        return self.columns[name]


@dataclass(frozen=True)
class Inputs:
    """All of it."""

    config: ExperimentConfig
    instrument: Instrument
    training: Training
    test: Test
    others: Mapping[str, Test]
    """Test spectra of other grids, by the name that the configuration gives them."""
    makers: Mapping[str, Test]
    """Some of these by networks alone: as the runs that made them have predicted them, in a catalogue beside them."""
    survey: Survey | None
    histories: tuple[History, ...]
    validations: Validations
    continua: Continua

    @property
    def shifted(self) -> bool:
        """Whether spectra were shifted to rest before the networks saw them."""
        return self.test.catalogue.shift is not None

    @property
    def trained_ranges(self) -> dict[str, tuple[float, float]]:
        """Range of each label in training, in its unit.

        If spectra are shifted to rest, v rad has none, since then any velocity is measured.
        """
        return {name: ends for name, ends in self.training.ranges.items() if not (self.shifted and name == "vrad")}

    @property
    def wavelengths(self) -> tuple[float, float]:
        """First and last pixel of the spectra [angstrom, air]."""
        pixels = self.test.store.wavelength
        return float(pixels[0]), float(pixels[-1])


def read_inputs(config: ExperimentConfig) -> Inputs:
    """Read everything that is there.

    Raises:
        MissingInputError: something that another stage writes is not there; the message names that stage.
        StoreMismatchError: a catalogue belongs to another state of its store.
    """
    training = _training(open_store(config.store("train"), made_by="augment"), config.train.labels)
    test = _test(config, "test", training.store)
    return Inputs(
        config,
        load_instrument(config.instrument),
        training,
        test,
        {name: _test(config, name, training.store) for name in config.predict.other_tests},
        dict(_makers(config)),
        _survey(config, training.store) if config.survey is not None else None,
        tuple(_history(config.member_dir(member), member) for member in range(config.ensemble.members)),
        read_validations(config, test.catalogue.header.get("MEMBERS")),
        read_continua(config, test.store.label_names),
    )


def _training(store: Store, learned: Sequence[str] | None) -> Training:
    statistics = {
        key: {
            name: float(value)
            for name, value in zip(store.label_names, store.attributes[f"label_{key}"], strict=True)
            if learned is None or name in learned
        }
        for key in ("std", "min", "max")
    }
    return Training(
        store,
        len(store),
        np.unique(store.column("template")).size,
        _floats(store.column("draws/snr")),
        statistics["std"],
        statistics["min"],
        statistics["max"],
    )


def _test(config: ExperimentConfig, name: str, training: Store) -> Test:
    store = open_store(config.store(name), made_by="augment")
    return _predicted(store, read_catalogue(config.catalogue(name), of=store, training=training))


def _makers(config: ExperimentConfig) -> Iterator[tuple[str, Test]]:
    """Yield name and predictions of those stores of `predict.other_tests` that their own runs have predicted, too."""
    if config.predict.radial_velocity == "network":
        return
    for name, path in config.predict.other_tests.items():
        catalogue = path.with_name(f"{path.stem}_catalogue.fits")
        if catalogue.exists():
            store = open_store(path, made_by="augment")
            found = read_catalogue(catalogue, of=store, training=None)
            if found.shift is None:
                yield name, _predicted(store, found)


def _predicted(store: Store, catalogue: Catalogue) -> Test:
    labels = _floats(store.column("labels"))
    truth = {name: labels[:, k] for k, name in enumerate(store.label_names)}
    scales = {"vsini": 1.0, "vrad": 1.0, "noise": 100.0}  # km/s, km/s, per cent of the median flux
    drawn = {
        name: scale * _floats(store.column(f"draws/{name}"))
        for name, scale in scales.items()
        if store.has(f"draws/{name}")
    }
    sample = Sample(catalogue.labels, truth, {}, _floats(store.column("draws/snr")), store.column("template"), drawn)
    return Test(store, catalogue, sample)


def _survey(config: ExperimentConfig, training: Store) -> Survey:
    store = open_store(config.store("survey"), made_by="observe")
    catalogue = read_catalogue(config.catalogue("survey"), of=store, training=training)
    ids = [str(name).strip() for name in store.column("id")]
    check_ids(catalogue, ids, store.path)
    catalogue = replace(catalogue, ids=np.array(ids, dtype=object))  # with the letters that FITS cannot hold
    names = store.label_names if "label_names" in store.attributes else tuple(LABELS)
    known, error = (_floats(store.column(name)) for name in ("reference", "reference_error"))
    sample = Sample(
        catalogue.labels,
        {name: known[:, k] for k, name in enumerate(names)},
        {name: error[:, k] for k, name in enumerate(names)},
        _floats(store.column("snr")),
        nuisances={
            "snr": _floats(store.column("snr")),
            "masked": 100.0 * _floats(store.column("masked_fraction")),
        },
    )
    return Survey(store, catalogue, sample, store.column("group"))


def _history(folder: Path, member: int) -> History:
    path = folder / "history.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        columns = {name: np.array([float(row[name]) for row in rows]) for name in _ALWAYS}
        # What a version before this one did not write.
        columns |= {name: np.array([float(row.get(name, "nan")) for row in rows]) for name in _SINCE}
    except FileNotFoundError:
        raise MissingInputError(
            f"{path}: member {member} has no history; train it first with `starnet-hpc ensemble CONFIG`"
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise StoreDamagedError(f"{path}: not a history of losses that this program can use ({error!r})") from None
    return History(member, columns)


def _floats(values: Any) -> Floats:
    return np.asarray(values, dtype=np.float64)
