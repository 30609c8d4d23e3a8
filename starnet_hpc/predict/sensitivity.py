"""Which wavelengths drive a label: the gradient of the ensemble's answer with respect to the flux, for the report.

Spectra are held-out ones, whose stars move: gradients are brought to rest by the velocity that a spectrum was made
with, to the nearest pixel, so that a line is in one place. Interpolated, gradients of opposite signs in neighbouring
pixels would cancel.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from starnet_hpc import provenance
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.instruments import load_instrument
from starnet_hpc.kernels.pixels import doppler_steps
from starnet_hpc.kernels.random import shuffled, stream
from starnet_hpc.networks import Member, TrainedOn, load_member
from starnet_hpc.predict.places import best_file, predictions_dir
from starnet_hpc.predict.tasks import Task
from starnet_hpc.progress import StageLog
from starnet_hpc.stores import read_arrays, write_arrays

_F4 = NDArray[np.float32]
_F8 = NDArray[np.float64]

SPECTRA = 96
"""So many held-out spectra are looked at: shares of a window are then known to a few per cent of themselves."""
_BATCH = 8
"""All activations of a batch are kept for its gradients."""
_MOST_BINS = 1000
"""Sizes of gradients are kept for each spectrum in bins of neighbouring pixels: 2.3 MB for six labels."""
_FORMAT = 1
"""Raised when the same members and spectra would give another file."""


def sensitivity_file(config: ExperimentConfig) -> Path:
    """Return the file with the gradients."""
    return predictions_dir(config) / "sensitivity.npz"


def keep_sensitivity(config: ExperimentConfig, task: Task, trained_on: TrainedOn, device: str, log: StageLog) -> None:
    """Write the gradients of some of the held-out spectra, unless they are there already.

    Where that fails, for want of memory say, it is told, and everything else goes on: only a chapter of the report will
    be missing.
    """
    path = sensitivity_file(config)
    recipe = provenance.digest_recipe(
        {"task": task.recipe, "seed": config.seed, "spectra": SPECTRA, "batch": _BATCH, "format": _FORMAT}
    )
    kept = read_arrays(path)
    if kept is not None and str(kept.get("recipe")) == recipe:
        return
    begun = time.monotonic()
    members = [load_member(best_file(config, m), device) for m in range(config.ensemble.members)]
    everything = np.arange(len(task.store), dtype=np.int64)
    rows = np.sort(shuffled(stream(config.seed, "predict", "sensitivity"), everything)[:SPECTRA])
    flux = np.concatenate([task.store.read(row, row + 1) for row in rows.tolist()]).astype(np.float32)
    moving = task.store.has("draws/vrad")
    velocity = task.store.column("draws/vrad")[rows].astype(np.float64) if moving else np.zeros(rows.size)
    if task.rest is not None:  # members see spectra shifted by what was measured
        flux, measured = task.rest.shifted(flux)
        velocity -= measured[:, 0]
    flux[:, load_instrument(config.instrument).tellurics()] = 0.0
    usable = np.isfinite(flux).all(axis=1) & (flux != 0.0).any(axis=1)
    rows, flux, velocity = rows[usable], flux[usable], velocity[usable]
    if not rows.size:
        return
    try:
        found = gradients(members, flux, device)
    except RuntimeError as error:
        log.warning("no sensitivities, and no chapter on them: %s", str(error).splitlines()[0])
        return
    at_rest = resting_pixels(task.store.wavelength, velocity)
    write_arrays(
        path,
        recipe=recipe,
        members=str(task.header["MEMBERS"][0]),
        input=task.store.content_digest,
        label_names=np.array(trained_on.label_names),
        rows=rows,
        template=task.store.column("template")[rows],
        **summary(task.store.wavelength, flux, found, at_rest),
    )
    log.info("sensitivities of %d spectra: %.1f s", rows.size, time.monotonic() - begun)


def gradients(members: Sequence[Member], flux: _F4, device: str) -> _F4:
    """Return the gradient of the ensemble's mean [rows, labels, pixels], in the label's unit over normalised flux.

    Args:
        members: the networks; their answers are averaged.
        flux: normalised, 0 where masked [rows, pixels]. A masked pixel says nothing: its gradient is NaN.
        device: that the networks are on.
    """
    labels = len(members[0].trained_on.label_names)
    total = np.zeros((len(flux), labels, flux.shape[1]), dtype=np.float32)
    for begin in range(0, len(flux), _BATCH):
        part = slice(begin, begin + _BATCH)
        for member in members:
            # A network in evaluation mode treats every spectrum alone, so that one gradient of a sum serves a batch.
            with torch.enable_grad():
                batch = torch.from_numpy(flux[part].copy()).to(device).requires_grad_()
                mean = member.network(batch).mean
                for label in range(labels):
                    (own,) = torch.autograd.grad(mean[:, label].sum(), batch, retain_graph=label + 1 < labels)
                    scale = member.trained_on.label_std[label] / len(members)
                    total[part, label] += scale * own.cpu().numpy()
    return np.where(flux[:, None] != 0.0, total, np.float32(np.nan))


def resting_pixels(wavelength: _F8, velocity: _F8) -> NDArray[np.int64]:
    """Return for each pixel of a spectrum at rest the nearest one of the moving star's [rows, pixels]; -1: beyond all.

    Args:
        wavelength: pixel centres [pixels], increasing.
        velocity: of each star [rows], km/s.
    """
    steps = np.diff(wavelength)
    width = np.minimum(np.append(steps, steps[-1:]), np.append(steps[:1], steps))  # a gap is no pixel
    middles = 0.5 * (wavelength[1:] + wavelength[:-1])
    found = np.empty((velocity.size, wavelength.size), dtype=np.int64)
    for row, kms in enumerate(velocity):
        moved = wavelength * np.exp(doppler_steps(float(kms), 1.0))
        nearest = np.searchsorted(middles, moved)
        found[row] = np.where(np.abs(wavelength[nearest] - moved) <= 0.75 * width[nearest], nearest, -1)
    return found


def summary(wavelength: _F8, flux: _F4, found: _F4, at_rest: NDArray[np.int64]) -> dict[str, NDArray[np.generic]]:
    """Return what is kept of gradients [rows, labels, pixels], brought to rest.

    Returns:
        `wavelength` [pixels]; `median_flux` [pixels]; `gradient` and its standard error over spectra `gradient_error`
        [labels, pixels], NaN where no spectrum (or, of the error, only one) reaches; `first`, `last`, numbers of the
        pixels that each bin begins and ends with, and `piece`, that of the stretch without gaps that it is in [bins];
        `sizes`, sums of absolute gradients in each bin [rows, labels, bins].
    """
    outside = at_rest < 0
    rest = np.stack([one[:, pixels] for one, pixels in zip(found, at_rest, strict=True)])
    rest[np.broadcast_to(outside[:, None], rest.shape)] = np.nan
    seen = np.take_along_axis(np.where(flux != 0.0, flux, np.float32(np.nan)), at_rest, axis=1)
    seen[outside] = np.nan
    known = np.isfinite(rest)
    count = known.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.where(known, rest, 0.0).sum(axis=0, dtype=np.float64) / count
        square = np.where(known, np.square(rest - mean), 0.0).sum(axis=0, dtype=np.float64)
        error = np.sqrt(square / (count - 1) / count)
    first, last, piece = _bins(wavelength)
    sizes = np.add.reduceat(np.where(known, np.abs(rest), np.float32(0.0)), first, axis=2)
    return {
        "wavelength": wavelength,
        "median_flux": _median(seen),
        "gradient": mean,
        "gradient_error": np.where(count > 1, error, np.nan),
        "first": first,
        "last": last,
        "piece": piece,
        "sizes": sizes.astype(np.float32),
    }


def _median(values: _F4) -> _F8:
    """Return the median over the rows of values [rows, pixels]; NaN where there is none."""
    out = np.full(values.shape[1], np.nan)
    some = np.isfinite(values).any(axis=0)
    out[some] = np.nanmedian(values[:, some], axis=0)
    return out


def _bins(wavelength: _F8) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the first and the last pixel of bins, none of which goes across a gap, and the piece between gaps."""
    steps = np.diff(wavelength)
    gaps = np.flatnonzero(steps > 3.0 * np.minimum(np.append(steps[1:], steps[-1:]), np.append(steps[:1], steps[:-1])))
    size = -(-wavelength.size // _MOST_BINS)
    pieces = np.split(np.arange(wavelength.size), gaps + 1)
    parts = [(k, part) for k, piece in enumerate(pieces) for part in np.array_split(piece, -(-piece.size // size))]
    first, last, piece = zip(*((part[0], part[-1], k) for k, part in parts), strict=True)
    return np.array(first), np.array(last), np.array(piece)
