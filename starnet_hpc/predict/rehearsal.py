"""What the prediction of a spectrum takes on this machine, from one batch of noise and a few templates."""

import time

import numpy as np
import torch

from starnet_hpc.allocation import keep_freed_memory
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.instruments import load_instrument, select_pixels
from starnet_hpc.networks import build_network
from starnet_hpc.predict.reconstruction import Reconstruction
from starnet_hpc.predict.templates import chosen_templates
from starnet_hpc.predict.velocity import RestFrame
from starnet_hpc.stores import Store

_BATCHES = 2
_SPECTRA = 24
_NOISE = 0.03


def rehearse(config: ExperimentConfig, labels: int, device: str) -> float:
    """Return the time [s] that a spectrum takes one member on one core, or on a GPU.

    Args:
        config: of the experiment.
        labels: how many are predicted.
        device: `cpu` or `cuda`.
    """
    if device == "cpu":
        keep_freed_memory()  # as the stage does
    instrument = load_instrument(config.instrument)
    selection, pixels = select_pixels(config.network, instrument), instrument.wavelength.size
    network = build_network(selection.network, pixels, labels, given=selection.given, ignored=selection.ignored)
    network = network.to(device).eval()
    batch = 1.0 - 0.1 * torch.rand((config.predict.batch_size, pixels), device=device)
    clock = time.perf_counter if device == "cuda" else time.process_time
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            network(batch).mean.cpu()
            start = clock()
            for _ in range(_BATCHES):
                network(batch).mean.cpu()  # waits for a GPU
            return (clock() - start) / (_BATCHES * config.predict.batch_size)
    finally:
        torch.set_num_threads(threads)


def rehearse_beside(config: ExperimentConfig, grid: Store) -> float:
    """Return the CPU time [s] of what is done with a spectrum beside the networks: its velocity, its reconstruction.

    Args:
        config: of the experiment.
        grid: some of its templates.
    """
    instrument = load_instrument(config.instrument)
    made = Reconstruction(grid, instrument, config.augment)
    names, rows = grid.label_names, np.linspace(0, len(grid) - 1, _SPECTRA).astype(np.int64)
    labels = grid.labels()[rows]
    spectra = [made.spectrum(dict(zip(names, row.tolist(), strict=True))) for row in labels]
    clean = np.stack([one for one in spectra if one is not None])
    flux = clean + np.random.default_rng(0).normal(0.0, _NOISE, clean.shape)
    rest = None
    if config.predict.radial_velocity == "ccf":
        rest = RestFrame(instrument, config.augment, chosen_templates(grid), config.predict.velocity_limit)
        rest.shifted(flux[:1])  # makes what is correlated with
    start = time.process_time()
    seen = flux if rest is None else rest.shifted(flux)[0]
    if config.predict.reconstruction:
        made.leftovers(seen, labels[: len(seen)], names)
    return (time.process_time() - start) / len(flux)
