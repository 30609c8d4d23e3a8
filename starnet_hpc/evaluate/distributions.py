"""Tables behind the remaining figures: S/N, predicted against true, losses."""

from collections.abc import Mapping, Sequence

import numpy as np

from starnet_hpc.evaluate.inputs import History
from starnet_hpc.evaluate.sample import Sample
from starnet_hpc.evaluate.tables import Column, Row, Table, table
from starnet_hpc.statistics import Floats

_SNR_LOW, _SNR_HIGH, _SNR_STEPS = 5.0, 1000.0, 23


def snr_histogram(name: str, caption: str, snr: Mapping[str, Floats]) -> Table:
    """Return the share of spectra [%] in logarithmic bins of S/N; the outermost bins hold all beyond them."""
    edges = np.geomspace(_SNR_LOW, _SNR_HIGH, _SNR_STEPS + 1)
    columns = (Column("sample"), *(Column(key) for key in ("low", "high", "n", "percent")))
    rows: list[Row] = []
    for sample, values in snr.items():
        known = np.clip(values[~np.isnan(values)], edges[0], np.nextafter(edges[-1], 0))
        counts, _ = np.histogram(known, edges)
        rows += [
            {
                "sample": sample,
                "low": float(low),
                "high": float(high),
                "n": int(n),
                "percent": 100.0 * n / max(known.size, 1),
            }
            for low, high, n in zip(edges, edges[1:], counts, strict=False)
        ]
    return table(name, caption, columns, rows)


def predicted_against_true(
    name: str, caption: str, sample: Sample, ranges: Mapping[str, tuple[float, float]], steps: int = 60
) -> Table:
    """Return the counts of spectra in cells of true and predicted label; empty cells are left out.

    The axes are a tenth wider than the trained range on both sides; what lies beyond is counted in the outermost cells.
    """
    columns = (
        Column("label"),
        *(Column(key) for key in ("true_low", "true_high", "predicted_low", "predicted_high", "n")),
    )
    rows: list[Row] = []
    for label in sample.labels:
        chosen = sample.usable(label)
        low, high = ranges[label]
        edges = np.linspace(low - 0.1 * (high - low), high + 0.1 * (high - low), steps + 1)
        true, predicted = (
            np.clip(np.searchsorted(edges, values[chosen], side="right") - 1, 0, steps - 1)
            for values in (sample.truth[label], sample.predicted[label].value)
        )
        cells, counts = np.unique(true * steps + predicted, return_counts=True)
        for cell, n in zip(cells.tolist(), counts.tolist(), strict=True):
            i, j = divmod(cell, steps)
            rows.append(
                {"label": label, "n": n}
                | {"true_low": float(edges[i]), "true_high": float(edges[i + 1])}
                | {"predicted_low": float(edges[j]), "predicted_high": float(edges[j + 1])}
            )
    return table(name, caption, columns, rows)


def losses(name: str, caption: str, histories: Sequence[History]) -> Table:
    """Return the losses of all members, epoch by epoch."""
    keys = ("train_loss", "valid_loss", "learning_rate", "seconds")
    columns = (Column("member"), Column("epoch"), *(Column(key) for key in keys))
    rows: list[Row] = [
        {"member": history.member, "epoch": int(history["epoch"][k])} | {key: float(history[key][k]) for key in keys}
        for history in histories
        for k in range(history["epoch"].size)
    ]
    return table(name, caption, columns, rows)


def members(name: str, caption: str, histories: Sequence[History]) -> Table:
    """Return one row a member: its epochs, its best one (whose weights are kept), and the time it took [s]."""
    columns = (
        Column("member", "member"),
        Column("epochs", "epochs"),
        Column("best_epoch", "best epoch", "The epoch with the smallest validation loss; its weights are kept"),
        Column(
            "valid_loss",
            "validation loss",
            "Negative log-likelihood of the standardised labels, at the best epoch",
        ),
        Column("train_loss", "training loss", "The same of the training spectra; weighted if train.beta_nll is set"),
        Column("seconds", "time [s]", "All epochs together, with their validation"),
        Column("spectra_per_s", "spectra/s", "In the steps of training, median over epochs"),
        Column("host_gb", "memory [GB]", "Most that a process held, resident on its machine"),
        Column("gpu_gb", "GPU [GB]", "Most that a process held in tensors on its GPU"),
        Column("restarts", "restarts", "How often the training was taken up again"),
    )
    rows: list[Row] = []
    for history in histories:
        row: dict[str, str | int | float] = {"member": history.member, "epochs": int(history["epoch"].size)}
        if np.isfinite(history["valid_loss"]).any():
            best = int(np.nanargmin(history["valid_loss"]))
            row |= {"best_epoch": int(history["epoch"][best])}
            row |= {key: float(history[key][best]) for key in ("valid_loss", "train_loss")}
        row["seconds"] = float(history["seconds"].sum() + np.nansum(history["valid_seconds"]))
        for key, summed in (
            ("spectra_per_s", np.median),
            ("host_gb", np.max),
            ("gpu_gb", np.max),
            ("restarts", np.max),
        ):
            known = history[key][np.isfinite(history[key])]
            if known.size:
                row[key] = int(summed(known)) if key == "restarts" else float(summed(known))
        rows.append(row)
    return table(name, caption, columns, rows)
