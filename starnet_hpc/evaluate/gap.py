"""The synthetic gap (paper, Fig. 2): can observed spectra be told from held-out synthetic ones, and how do they lie?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.document import Block, Grid, Picture, Section, Text
from starnet_hpc.evaluate.figures import gap as figures
from starnet_hpc.evaluate.inputs import Inputs, Survey, Test
from starnet_hpc.evaluate.sample import Sample
from starnet_hpc.evaluate.tables import Column, Row, table
from starnet_hpc.evaluate.templates import TemplateView
from starnet_hpc.kernels.random import Key, permutation, shuffled, stream
from starnet_hpc.statistics import Estimate, Floats, share
from starnet_hpc.stores import Store, open_store

FEWEST = 30
"""With fewer observed spectra no number is worth giving."""
SYNTHETIC, OBSERVED = "synthetic", "observed"
RAW, AUGMENTED = "raw templates", "as trained on"

_MOST = 1000
"""Spectra of each kind."""
_POOL = 4000
"""Held-out spectra among which partners are looked for."""
_COMPONENTS = 30
_FOLDS = 10
_DRAWN = 500
"""Spectra of each kind in the figure: t-SNE takes most of the time."""
_PERPLEXITY = 30.0
_CLIP = (0.0, 2.0)
"""Normalised fluxes beyond are set to these: one cosmic ray would be a principal component of its own."""

_F4 = NDArray[np.float32]
_I8 = NDArray[np.int64]


@dataclass(frozen=True)
class Pairs:
    """Observed spectra and a synthetic one for each, none of them twice."""

    matched: str
    """In what the partners are alike."""
    observed: _I8
    """Rows of the survey [n]."""
    synthetic: _I8
    """Rows of the held-out spectra [n]."""


def gap_section(inputs: Inputs) -> list[Section]:
    """Return the chapter on the synthetic gap; none without a survey."""
    if inputs.survey is None:
        return []
    return [Section("gap", "Synthetic gap", tuple(_blocks(inputs, inputs.test, inputs.survey)))]


def _blocks(inputs: Inputs, test: Test, survey: Survey) -> list[Block]:
    if find_spec("sklearn") is None:
        return [
            Text(
                "Whether synthetic spectra can be told from observed ones is not shown: that needs scikit-learn, which "
                'is not installed (pip install "starnet-hpc[gap]").'
            )
        ]
    key = stream(inputs.config.seed, "evaluate", "gap")
    both = (pair(test, survey, inputs.config.seed, scale) for scale in (None, inputs.training.std))
    pairs = [found for found in both if found is not None]
    if not pairs or pairs[0].observed.size < FEWEST:
        usable = pairs[0].observed.size if pairs else 0
        return [
            Text(
                f"Whether synthetic spectra can be told from observed ones cannot be said: {usable} observed spectra "
                f"have usable labels, a known S/N and a held-out spectrum to go with; it takes {FEWEST}."
            )
        ]
    template_view = _template_view(inputs)
    rows: list[Row] = []
    maps: list[Row] = []
    for found in pairs:
        spectra = {AUGMENTED: read_rows(test.store, found.synthetic)}
        if template_view:
            templates = test.store.column("template")[found.synthetic].astype(np.int64)
            spectra = {RAW: template_view.many(templates).astype(np.float32)} | spectra
        observed = read_rows(survey.store, found.observed)
        for name, synthetic in spectra.items():
            here, there = alike(observed, synthetic)
            components = principal_components(np.concatenate([there, here]), key)
            told = accuracy(components, key)
            rows.append(
                {
                    "matched": found.matched,
                    "spectra": name,
                    "n": found.observed.size,
                    "snr_observed": float(np.median(survey.sample.snr[found.observed])),
                    "snr_synthetic": float(np.median(test.sample.snr[found.synthetic])),
                    "accuracy_percent": told.value,
                    "accuracy_percent_error": told.error,
                }
            )
            if found is pairs[0]:
                some = np.sort(permutation(key, found.observed.size)[:_DRAWN])
                places = np.concatenate([components[some], components[some + found.observed.size]])
                maps += _map(name, places, [found.synthetic[some], found.observed[some]], key)
    columns = (
        Column("matched", "alike in"),
        Column("spectra", "synthetic spectra"),
        Column("n", "N", "Spectra of each kind"),
        Column("snr_observed", "S/N observed", "Median"),
        Column("snr_synthetic", "S/N synthetic", "Median, as augmented"),
        Column("accuracy_percent", "told apart [%]", "Balanced accuracy", "accuracy_percent_error"),
    )
    listed = table("gap_accuracy", "How often synthetic and observed spectra are told apart", columns, rows)
    without = "" if template_view else " Raw templates are not shown, since grid.zarr is not there."
    note = (
        f"Balanced accuracy of a logistic regression on {_COMPONENTS} principal components, {_FOLDS}-fold "
        "cross-validated: 50 % is guessing (no gap that a linear classifier sees), 100 % always right. ± is the larger "
        "of the standard error over folds and the binomial one; as folds learn from the same spectra, it is too small "
        "by about a sixth where there is no gap. Every observed spectrum has a synthetic partner of "
        "like S/N (below also of like predicted labels), which is masked where it is; masked pixels are 1. "
        "Where only S/N is alike, a survey of other stars than were trained on counts as a gap. Raw: the partner's "
        "template at the instrument's resolution, without rotation, velocity and noise." + without
    )
    drawn = (
        f"As Fig. 2 of Bialek et al. (2020): {words.count(min(pairs[0].observed.size, _DRAWN))} spectra of "
        f"each kind, alike in S/N; t-SNE of the principal components (perplexity {_PERPLEXITY:g}). Kinds that mix are "
        "alike; distances between far groups mean nothing." + without
    )
    names = ("spectra", "sample", "row", "x", "y")
    shown = table("gap", "Synthetic and observed spectra by t-SNE", tuple(map(Column, names)), maps)
    return [Picture(shown, figures.embedding, drawn), Grid(listed, note)]


def _template_view(inputs: Inputs) -> TemplateView | None:
    """Return what shows templates on all pixels; None where the grid is gone."""
    path, instrument = inputs.config.store("grid"), inputs.instrument
    if not (path / "zarr.json").exists():
        return None
    grid = open_store(path, made_by="ingest")
    return TemplateView(grid, instrument, inputs.config.augment, np.arange(instrument.wavelength.size))


def pair(test: Test, survey: Survey, seed: int, label_std: Mapping[str, float] | None = None) -> Pairs | None:
    """Return pairs that are alike in S/N and, if standard deviations are given, in predicted labels; None: in none.

    Partners are those with which the sum of all squared distances is smallest: in ln S/N, and in each label over its
    standard deviation.
    """
    scale = {
        label: std
        for label, std in (label_std or {}).items()
        if label in test.sample.predicted and label in survey.sample.predicted
    }
    if label_std is not None and not scale:
        return None
    first, observed = _drawn(survey.sample, stream(seed, "evaluate", "gap", OBSERVED), _MOST, scale)
    second, synthetic = _drawn(test.sample, stream(seed, "evaluate", "gap", SYNTHETIC), _POOL, scale)
    cost = np.zeros((first.size, second.size))
    for here, there in zip(observed, synthetic, strict=True):
        cost += np.square(here[:, None] - there)
    chosen, partner = linear_sum_assignment(cost)
    return Pairs("S/N and labels" if scale else "S/N", first[chosen], second[partner])


def _drawn(sample: Sample, key: Key, most: int, scale: Mapping[str, float]) -> tuple[_I8, list[Floats]]:
    """Return some rows [n] with a known S/N and usable labels, and by what they are compared [n] each."""
    usable = np.isfinite(sample.snr) & (sample.snr > 0)
    for columns in sample.predicted.values():
        usable &= columns.usable
    rows = np.flatnonzero(usable)
    if rows.size > most:
        rows = np.sort(shuffled(key, rows)[:most])
    labels = [sample.predicted[label].value[rows] / std for label, std in scale.items()]
    return rows, [np.log(sample.snr[rows]), *labels]


def read_rows(store: Store, rows: _I8) -> _F4:
    """Return the fluxes [n, pixels] of some rows."""
    out = np.empty((rows.size, store.layout.pixels), dtype=np.float32)
    for place, row in enumerate(rows.tolist()):
        out[place] = store.read(row, row + 1)[0]
    return out


def alike(observed: _F4, synthetic: _F4) -> tuple[_F4, _F4]:
    """Return pairs of spectra [n, pixels] whose masks are the same: 1 where either partner is masked (0, or no number).

    A mask is no property of a star, and would tell the two apart.
    """
    masked = (observed == 0) | ~np.isfinite(observed) | (synthetic == 0) | ~np.isfinite(synthetic)
    first, second = (np.clip(np.where(masked, np.float32(1.0), flux), *_CLIP) for flux in (observed, synthetic))
    return first, second


def principal_components(flux: _F4, key: Key) -> Floats:
    """Return the largest principal components [spectra, at most 30] of spectra [spectra, pixels]."""
    from sklearn.decomposition import PCA

    count = min(_COMPONENTS, flux.shape[0] - 1, flux.shape[1])
    found = PCA(count, svd_solver="randomized", random_state=key[0]).fit_transform(flux - flux.mean(axis=0))
    return np.asarray(found, dtype=np.float64)


def accuracy(components: Floats, key: Key) -> Estimate:
    """Return how often [%] a classifier tells the second half of some spectra [2 n, components] from the first.

    Partners, n apart, are in one fold: if one were known when the other is asked for, the classifier would take the
    likeness of the two for a likeness of kind, and be wrong more often than by guessing.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pairs = len(components) // 2
    truth = np.arange(len(components)) >= pairs
    folds, hits = [], np.zeros(truth.size, dtype=bool)
    for part in np.array_split(permutation(key, pairs), _FOLDS):
        asked = np.concatenate([part, part + pairs])
        known = np.setdiff1d(np.arange(truth.size), asked)
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        hits[asked] = model.fit(components[known], truth[known]).predict(components[asked]) == truth[asked]
        folds.append(100.0 * float(hits[asked].mean()))
    spread = float(np.std(folds, ddof=1) / np.sqrt(_FOLDS))
    return Estimate(float(np.mean(folds)), max(spread, share(hits).error))


def _map(spectra: str, components: Floats, rows: Sequence[_I8], key: Key) -> list[Row]:
    """Return where t-SNE puts spectra, synthetic ones first."""
    from sklearn.manifold import TSNE

    perplexity = min(_PERPLEXITY, (len(components) - 1) / 3.0)
    # Barnes-Hut with one thread: sums in one order.
    place = TSNE(perplexity=perplexity, init="pca", random_state=key[0], n_jobs=1).fit_transform(components)
    kinds = [(kind, int(row)) for kind, chosen in zip((SYNTHETIC, OBSERVED), rows, strict=True) for row in chosen]
    return [
        {"spectra": spectra, "sample": kind, "row": row, "x": float(x), "y": float(y)}
        for (kind, row), (x, y) in zip(kinds, place, strict=True)
    ]
