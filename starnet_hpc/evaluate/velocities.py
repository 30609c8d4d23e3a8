"""Velocity first: are cross-correlation's errors right, and what do labels gain over networks that do all alone?"""

from collections.abc import Mapping

import numpy as np

from starnet_hpc.evaluate import words
from starnet_hpc.evaluate.document import Block, Grid, Section, Text
from starnet_hpc.evaluate.inputs import Inputs, Test
from starnet_hpc.evaluate.residuals import COUNT, LABEL, SNR, UNIT
from starnet_hpc.evaluate.sample import SnrBin, groups_by_snr, snr_bins
from starnet_hpc.evaluate.tables import Column, Row, Table, Value, table
from starnet_hpc.statistics import median, share

OWN = "held out"
"""This run's own test spectra among the spectra of other stores."""

_SPECTRA = Column("spectra", "spectra", "Which held-out spectra")


def velocities_section(inputs: Inputs) -> Section:
    """Return the chapter on velocities by cross-correlation."""
    bins = snr_bins(inputs.config.evaluate.snr_edges)
    tests = {OWN: inputs.test, **inputs.others}
    found = by_snr("velocities", "Velocities by cross-correlation", tests, bins)
    note = (
        "They only shift spectra to rest, exactly, whatever their errors: v rad of the catalogue adds the residual "
        "velocity that networks see then, and its σ is of that."
    )
    blocks: list[Block] = [Grid(found, note)]
    if inputs.makers:
        caption = "Median |Δ| of networks alone and of velocity first, on the same spectra"
        both = compared("velocity_first", caption, inputs.makers, inputs.others, bins)
        rule = "Networks alone: those of the run that made the spectra. Compare runs that differ in nothing else."
        blocks.append(Grid(both, rule))
    elif inputs.others:
        blocks.append(Text("No store of predict.other_tests has a catalogue of networks alone beside it to compare."))
    return Section("velocities", "Velocity first", tuple(blocks))


def by_snr(name: str, caption: str, tests: Mapping[str, Test], bins: tuple[SnrBin, ...]) -> Table:
    """Return residuals and coverage of velocities by cross-correlation, for each store and S/N bin.

    Args:
        name: of the table.
        caption: of the table.
        tests: held-out spectra by name.
        bins: of S/N.
    """
    columns = (
        _SPECTRA,
        SNR,
        Column("median_absolute", "median |Δ| [km/s]", "Median absolute residual", "median_absolute_error"),
        Column("median", "median Δ [km/s]", "Median of found minus true: the bias", "median_error"),
        Column("sigma", "median σ [km/s]", "Median of the errors that are claimed", "sigma_error"),
        Column("coverage_68", "within 1σ [%]", "68.3 if the errors are right", "coverage_68_error"),
        COUNT,
    )
    rows: list[Row] = []
    for spectra, test in tests.items():
        if test.catalogue.shift is None or "vrad" not in test.sample.truth:
            continue
        velocity, sigma = test.catalogue.shift
        residual = velocity - test.sample.truth["vrad"]
        for snr, inside in groups_by_snr(test.sample.snr, bins):
            chosen = inside & np.isfinite(residual)
            clusters, absolute = test.sample.clusters_of(chosen), np.abs(residual[chosen])
            row: dict[str, Value] = {"spectra": spectra, "snr": snr, "n": int(chosen.sum())}
            for key, estimate in {
                "median_absolute": median(absolute, clusters),
                "median": median(residual[chosen], clusters),
                "sigma": median(sigma[chosen], clusters),
                "coverage_68": share(absolute <= sigma[chosen], clusters),
            }.items():
                row |= {key: estimate.value, f"{key}_error": estimate.error}
            rows.append(row)
    return table(name, caption, columns, rows)


def compared(
    name: str, caption: str, alone: Mapping[str, Test], shifted: Mapping[str, Test], bins: tuple[SnrBin, ...]
) -> Table:
    """Return the median absolute residual of each label and S/N bin, twice: of networks alone, and of velocity first.

    Args:
        name: of the table.
        caption: of the table.
        alone: spectra as networks alone predict them, by name.
        shifted: the same and others, shifted to rest before networks see them.
        bins: of S/N.
    """
    columns = (
        _SPECTRA,
        LABEL,
        UNIT,
        SNR,
        Column("alone", "networks alone", "Median absolute residual of networks alone", "alone_error"),
        Column("first", "velocity first", "Median absolute residual where velocity comes first", "first_error"),
        Column("ratio", "ratio", "Velocity first over networks alone"),
        COUNT,
    )
    rows: list[Row] = []
    for spectra, maker in alone.items():
        one, other = maker.sample, shifted[spectra].sample
        for label in (label for label in other.labels if label in one.labels):
            both = one.usable(label) & other.usable(label)
            for snr, inside in groups_by_snr(other.snr, bins):
                chosen = inside & both
                clusters = other.clusters_of(chosen)
                of_one, of_other = (median(np.abs(s.residual(label, chosen)), clusters) for s in (one, other))
                rows.append(
                    {
                        "spectra": spectra,
                        "label": label,
                        "unit": words.unit(label),
                        "snr": snr,
                        "alone": of_one.value,
                        "alone_error": of_one.error,
                        "first": of_other.value,
                        "first_error": of_other.error,
                        "ratio": of_other.value / of_one.value if of_one.value > 0 else np.nan,
                        "n": int(chosen.sum()),
                    }
                )
    return table(name, caption, columns, rows)
