"""What a spectrum takes the networks of an ensemble on this machine, from one batch of noise."""

import time

import torch

from starnet_hpc.allocation import keep_freed_memory
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.instruments import load_instrument, select_pixels
from starnet_hpc.networks import build_network

_BATCHES = 2


def rehearse(config: ExperimentConfig, labels: int, device: str) -> float:
    """Return the time [s] that a spectrum takes one member on one core, or on a GPU.

    Reading, cross-correlation and reconstruction are not in it.

    Args:
        config: of the experiment.
        labels: how many are predicted.
        device: `cpu` or `cuda`.
    """
    if device == "cpu":
        keep_freed_memory()  # as the stage does
    instrument = load_instrument(config.instrument)
    selection, pixels = select_pixels(config.network, instrument), instrument.wavelength.size
    given, ignored = (None if one is None else torch.from_numpy(one) for one in (selection.given, selection.ignored))
    network = build_network(selection.network, pixels, labels, given=given, ignored=ignored).to(device).eval()
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
