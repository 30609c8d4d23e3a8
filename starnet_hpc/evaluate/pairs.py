"""Two runs side by side: what they have in common, and how far a comparison of them goes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import ConfigError, StoreMismatchError
from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.inputs import Inputs, Training, read_inputs
from starnet_hpc.evaluate.sample import Sample
from starnet_hpc.evaluate.words import count, listed, plain

_SHIFT = 0.02
"""Ends of trained ranges that differ by more than this share of the range are told of."""


@dataclass(frozen=True)
class Pair:
    """Two runs; `first` is what `second` is compared with."""

    first: Inputs
    second: Inputs
    names: tuple[str, str]
    labels: tuple[str, ...]
    """Of those that both predict."""
    same_spectra: bool
    """Whether both have predicted the very same held-out spectra."""

    @property
    def runs(self) -> tuple[Inputs, Inputs]:
        """Both of them."""
        return self.first, self.second

    def configurations(self) -> Iterator[tuple[str, str, str]]:
        """Yield the keys of the configuration that differ, with the values of both runs."""
        one, other = (_flat(run.config.model_dump(mode="json", exclude={"name", "run_dir"})) for run in self.runs)
        for key in dict.fromkeys([*one, *other]):
            values = one.get(key, words.MISSING), other.get(key, words.MISSING)
            if values[0] != values[1]:
                yield key, *values

    def limits(self) -> list[str]:
        """Return in words what the two do not have in common."""
        return [*self._other_labels(), *self._other_instrument(), *self._other_spectra()]

    def _other_labels(self) -> Iterator[str]:
        for name, run in zip(self.names, self.runs, strict=True):
            alone = [plain(label) for label in run.test.sample.labels if label not in self.labels]
            if alone:
                yield f"Only {name} predicts {listed(alone)}: not compared."

    def _other_instrument(self) -> Iterator[str]:
        seen = [
            f"{name} sees {run.wavelengths[0]:.0f}–{run.wavelengths[1]:.0f} Å at "
            f"{words.resolution(*run.instrument.resolution_range)} ({run.instrument.name})"
            for name, run in zip(self.names, self.runs, strict=True)
        ]
        if seen[0].split(" sees ")[1] != seen[1].split(" sees ")[1]:
            yield f"The instruments differ: {listed(seen)}. Ratios tell what both instrument and networks do."
        if self.first.shifted != self.second.shifted:
            shifted = self.names[0] if self.first.shifted else self.names[1]
            yield f"Only the networks of {shifted} see spectra that were shifted to rest before (velocity first)."

    def _other_spectra(self) -> Iterator[str]:
        if self.same_spectra:
            return
        yield (
            f"The held-out spectra are not the same ({count(len(self.first.test.catalogue))} of {self.names[0]}, "
            f"{count(len(self.second.test.catalogue))} of {self.names[1]}): ratios also tell how hard each set is."
        )
        ranges = [
            f"{words.interval(label, one.low[label], one.high[label])} and "
            f"{words.value(label, other.low[label])} to {words.value(label, other.high[label])}"
            for label in self.labels
            if _differ(one := self.first.training, other := self.second.training, label)
        ]
        if ranges:
            yield f"Trained ranges differ, and wider ones are harder: {'; '.join(ranges)}."


def read_pair(first: ExperimentConfig, second: ExperimentConfig) -> Pair:
    """Read two runs.

    Raises:
        ConfigError: they are one and the same.
        StoreMismatchError: they have no label in common.
        MissingInputError: an input of one of them is not there.
    """
    if first.run_dir.resolve() == second.run_dir.resolve():
        raise ConfigError(f"both runs lie in {first.run_dir}: give two different runs to compare")
    one, other = read_inputs(first), read_inputs(second)
    theirs = other.test.sample.labels
    labels = tuple(label for label in one.test.sample.labels if label in theirs)
    if not labels:
        have = [listed(list(run.test.sample.labels)) or "none" for run in (one, other)]
        raise StoreMismatchError(
            f"{first.run_dir} and {second.run_dir} have no label in common, and cannot be compared: "
            f"the first predicts {have[0]}, the second {have[1]}"
        )
    calls = [(one.name, other.name) for one, other in ((first, second), (first.run_dir, second.run_dir))]
    names = next((two for two in calls if two[0] != two[1]), (str(first.run_dir), str(second.run_dir)))
    same = one.test.store.content_digest == other.test.store.content_digest
    return Pair(one, other, names, labels, same)


@dataclass(frozen=True)
class Common:
    """Survey stars that both runs have predicted, by their id."""

    ids: NDArray[np.object_]
    sample: Sample
    """Predictions of the second run, with those of the first as truth, and their sigmas as its errors."""
    same_spectra: bool
    """Whether the spectra are the same as well."""


def stars_in_common(pair: Pair) -> Common | None:
    """Return the survey stars that both runs have predicted, in the order of the second one; None without any."""
    one, other = pair.first.survey, pair.second.survey
    if one is None or other is None:
        return None
    at = {name: row for row, name in enumerate(one.catalogue.ids)}
    theirs = np.array([row for row, name in enumerate(other.catalogue.ids) if name in at], dtype=np.int64)
    if not theirs.size:
        return None
    ours = np.array([at[name] for name in other.catalogue.ids[theirs]], dtype=np.int64)
    labels = [label for label in pair.labels if label in one.catalogue.labels and label in other.catalogue.labels]
    before = {label: one.catalogue.labels[label][ours] for label in labels}
    sample = Sample(
        {label: other.catalogue.labels[label][theirs] for label in labels},
        {label: np.where(before[label].usable, before[label].value, np.nan) for label in labels},
        {label: before[label].sigma for label in labels},
        other.sample.snr[theirs],
    )
    same = one.store.content_digest == other.store.content_digest
    return Common(other.catalogue.ids[theirs], sample, same)


def _differ(one: Training, other: Training, label: str) -> bool:
    allowed = _SHIFT * (one.high[label] - one.low[label])
    return max(abs(one.low[label] - other.low[label]), abs(one.high[label] - other.high[label])) > allowed


def _flat(section: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Return a nested mapping as one of `section.key`, with values in words."""
    found: dict[str, str] = {}
    for key, value in section.items():
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{before}{key}.")
        else:
            found[f"{before}{key}"] = str(value)
    return found
