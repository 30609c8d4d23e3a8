"""How many rows there are, what their flags say, and how many a cut removes."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.catalogues import Catalogue
from starnet_hpc.evaluate.inputs import Inputs
from starnet_hpc.evaluate.sample import Sample
from starnet_hpc.evaluate.tables import Column, Row, Table, table
from starnet_hpc.flags import Flag
from starnet_hpc.stores import Store

MEANING = {
    Flag.UNREADABLE: "the file could not be used; no labels",
    Flag.BAD_INPUT: "no usable pixel, or no finite output; no labels",
    Flag.PARTIAL_COVERAGE: "more than a tenth of the pixels missing or masked",
    Flag.LOW_SNR: "S/N below that of the noisiest training spectra",
    Flag.UNKNOWN_SNR: "no S/N given, and none could be estimated",
    Flag.VELOCITY_LIMIT: "velocity near the limit of the search, or too uncertain",
    Flag.LARGE_SIGMA: "sigma of a label above its limit (evaluate.sigma_limits)",
    Flag.LARGE_EPISTEMIC: "members disagree more than on 99 % of the validation spectra, in some label",
    Flag.UNLIKE_TRAINING: "features farther from training spectra than those of 99 % of the validation spectra",
    Flag.POOR_FIT: "the spectrum of the labels fits worse than those of 99 % of the validation spectra",
    Flag.OUTSIDE_TEFF: "Teff outside the trained range",
    Flag.OUTSIDE_LOGG: "log g outside the trained range",
    Flag.OUTSIDE_FEH: "[Fe/H] outside the trained range",
    Flag.OUTSIDE_AFE: "[α/Fe] outside the trained range",
    Flag.OUTSIDE_VSINI: "v sin i outside the trained range",
    Flag.OUTSIDE_VRAD: "v rad outside the trained range",
    Flag.OUTSIDE_ELEMENT: "an element's abundance outside the trained range",
}


def flags(name: str, caption: str, inputs: Inputs) -> Table:
    """Return for each flag the rows of the test set and of the survey that carry it, in number and per cent."""
    catalogues = {"test": inputs.test.catalogue}
    if inputs.survey is not None:
        catalogues["survey"] = inputs.survey.catalogue
    columns = [Column("flag", "flag"), Column("bit", "value"), Column("meaning", "meaning")]
    for kind in catalogues:
        columns += [Column(f"n_{kind}", f"{kind} rows"), Column(f"percent_{kind}", f"{kind} [%]")]
    rows: list[Row] = [_flagged("none", 0, "nothing to remark", {k: c.flags == 0 for k, c in catalogues.items()})]
    for flag in Flag:
        carries = {kind: (catalogue.flags & flag.value) != 0 for kind, catalogue in catalogues.items()}
        rows.append(_flagged(str(flag.name), flag.value, MEANING.get(flag, ""), carries))
    known = sum(flag.value for flag in Flag)
    others = {kind: (catalogue.flags & ~known) != 0 for kind, catalogue in catalogues.items()}
    if any(hits.any() for hits in others.values()):
        rows.append(_flagged("other", -1, "a flag that this version does not know", others))
    return table(name, caption, columns, rows)


def failures(name: str, caption: str, catalogue: Catalogue, store: Store, limit: int = 50) -> Table:
    """Return the first rows without any usable label, with the flags and (from the store) the remarks that say why."""
    columns = (Column("row", "row"), Column("id", "spectrum"), Column("flags", "flags"), Column("remark", "remark"))
    remarks = store.column("remark") if store.has("remark") else np.full(len(catalogue), "", dtype=object)
    rows: list[Row] = [
        {
            "row": int(k),
            "id": str(catalogue.ids[k]),
            "flags": flag_names(int(catalogue.flags[k])) or "none",
            "remark": str(remarks[k]),
        }
        for k in np.flatnonzero(failed(catalogue))[:limit]
    ]
    return table(name, caption, columns, rows)


def failed(catalogue: Catalogue) -> NDArray[np.bool_]:
    """Return the rows without a usable prediction of any label [n]."""
    return np.asarray(~np.any([columns.usable for columns in catalogue.labels.values()], axis=0))


def flag_names(flag: int) -> str:
    """Return the names of the bits of a flag."""
    return ", ".join(str(known.name) for known in Flag if flag & known.value)


def cuts(
    name: str, caption: str, sample: Sample, limits: Mapping[str, float], apart: NDArray[np.bool_]
) -> tuple[Table, NDArray[np.bool_]]:
    """Return how many rows each cut removes, one after the other, and which rows pass the cuts on sigma [n].

    Rows without a usable prediction are counted as removed, but pass: tables of accuracy count them as failed.

    Args:
        name: of the table.
        caption: of the table.
        sample: the survey.
        limits: largest total sigma of each label, in its unit (paper, section 5).
        apart: benchmark stars, which are compared in a chapter of their own [n].
    """
    columns = (Column("cut", "cut"), Column("n_removed", "removed"), Column("n_left", "left"))
    usable = np.any([label.usable for label in sample.predicted.values()], axis=0)
    passed = np.ones(len(sample), dtype=bool)
    left = len(sample)
    rows: list[Row] = [{"cut": "all rows", "n_removed": 0, "n_left": left}]

    def remove(reason: str, hit: NDArray[np.bool_]) -> None:
        nonlocal left
        left -= int(hit.sum())
        rows.append({"cut": reason, "n_removed": int(hit.sum()), "n_left": left})

    remove("without a usable prediction", ~usable)
    for label, limit in limits.items():
        if label in sample.predicted:
            hit = usable & passed & (sample.predicted[label].sigma > limit)
            remove(f"σ({words.plain(label)}) > {words.quantity(label, limit)}", hit)
            passed &= ~hit
    known = np.zeros(len(sample), dtype=bool)
    for values in sample.truth.values():
        known |= np.isfinite(values)
    if (known & ~apart).any():
        remove("benchmark stars (in a chapter of their own)", usable & passed & apart)
        remove("without any reference label", usable & passed & ~apart & ~known)
    return table(name, caption, columns, rows), passed


def _flagged(name: str, bit: int, meaning: str, hits: Mapping[str, NDArray[np.bool_]]) -> Row:
    row: dict[str, str | int | float] = {"flag": name, "bit": bit, "meaning": meaning}
    for kind, hit in hits.items():
        row |= {f"n_{kind}": int(hit.sum()), f"percent_{kind}": 100.0 * float(hit.mean()) if hit.size else np.nan}
    return row
