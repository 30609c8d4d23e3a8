"""What a step of the training takes on this machine, from a few steps with spectra of noise."""

import time

import torch

from starnet_hpc.allocation import keep_freed_memory
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.instruments import load_instrument
from starnet_hpc.train.clock import clock_of
from starnet_hpc.train.data import Batch
from starnet_hpc.train.ranks import Ranks
from starnet_hpc.train.stage import new_network, pixel_mask
from starnet_hpc.train.step import Stepper

_STEPS = 3


def rehearse(config: ExperimentConfig, labels: int, device: str) -> float:
    """Return the time [s] that a step with the whole batch takes one core, or a GPU.

    One core, whatever the process may use: on a busy machine threads that wait for one another take ten times as long.

    Args:
        config: of the experiment.
        labels: how many are trained.
        device: `cpu` or `cuda`.
    """
    if device == "cpu":
        keep_freed_memory()  # as the stage does
    ranks = Ranks(0, 1, 1, 1, torch.device(device))
    pixels = load_instrument(config.instrument).wavelength.size
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        network = new_network(config, pixels, labels).to(ranks.device)
        stepper = Stepper(network, config.train, ranks, pixel_mask(config, 0, ranks), clock_of(ranks.device))
        generator = torch.Generator(device).manual_seed(0)
        size = config.train.batch_size
        flux = 1.0 - 0.1 * torch.rand((size, pixels), generator=generator, device=device)
        truth = torch.randn((size, labels), generator=generator, device=device)
        batch = Batch(flux, truth, torch.arange(size, device=device))
        clock = time.perf_counter if device == "cuda" else time.process_time
        stepper.begin()
        for step in range(1 + _STEPS):
            if step == 1:  # the first one sets up what later ones find
                start = clock()
            stepper.take(batch, step, config.train.learning_rate, 0)
            stepper.look()  # waits for a GPU
        return (clock() - start) / _STEPS
    finally:
        torch.set_num_threads(threads)
