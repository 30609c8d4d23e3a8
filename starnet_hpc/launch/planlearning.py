"""What training, prediction and the report will take, from a few steps on this machine; and what a cluster forbids."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from starnet_hpc import parallel
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.evaluate.rehearsal import rehearse as rehearse_report
from starnet_hpc.instruments import load_instrument
from starnet_hpc.launch.rehearsal import start_of
from starnet_hpc.launch.scripts import resources_of
from starnet_hpc.launch.words import bytes_in_words, time_in_words
from starnet_hpc.predict import sensitivity
from starnet_hpc.predict.rehearsal import rehearse as rehearse_prediction
from starnet_hpc.predict.rehearsal import rehearse_beside
from starnet_hpc.stores import Store
from starnet_hpc.train.rehearsal import rehearse as rehearse_training

_HOUR_S = 3600.0
_VALIDATION_SHARE = 1.0 / 3.0
"""A forward pass, of a step's forward and backward."""
_GB = 1e9
_MEMORY_OF_A_PROCESS_GB = 3.0
"""Python, torch, one batch and its activations."""


@dataclass(frozen=True)
class PlannedLearning:
    """Training of all members, prediction of all stores, or the report: what is left to do."""

    name: str
    items: int
    unit: str
    seconds: float
    """Of one item on one core of this machine, or on its GPU [s]."""
    start_s: float
    """Time of what each process does besides: it imports what it needs, and of the prediction, keeps gradients [s]."""
    core_hours: float | None
    """None: it was measured on a GPU."""
    gpu_hours: float | None
    processes: int
    """At the same time."""
    wall_s: float
    """If all cores (or GPUs) of all processes share the work evenly, the best that can be."""


def plan_learning(
    config: ExperimentConfig, labels: Sequence[str], rows: Mapping[str, int], grid: Store
) -> list[PlannedLearning]:
    """Return what training, prediction and the report take, measured on a GPU if there is one, else on a core.

    Args:
        config: of the experiment.
        labels: that are trained.
        rows: spectra of the stores by name.
        grid: its templates, or some of them.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    members, on_slurm = config.ensemble.members, config.ensemble.executor == "slurm"
    waiting = sum(not (config.member_dir(member) / "best.pt").exists() for member in range(members))
    start_s = start_of("starnet_hpc.train.stage, starnet_hpc.predict.stage")
    found = []
    if waiting:
        size, epochs = config.train.batch_size, config.train.epochs
        steps = epochs * (rows["train"] // size + math.ceil(_VALIDATION_SHARE * rows["valid"] / size))
        at_once = waiting if on_slurm else min(config.ensemble.parallel, waiting)
        asked = resources_of(config, "members")
        processes = at_once * asked.nodes * (asked.tasks_per_node or 1)
        each = rehearse_training(config, len(labels), device)
        units = _units(config, device, processes, asked.cpus_per_task or 1)
        # The last round may have fewer members than there is room for.
        rounds = math.ceil(waiting / at_once)
        filled = units * waiting / (at_once * rounds)
        work = _Work("ensemble", waiting * steps, "steps", each, start_s)
        found.append(_planned(work, device, processes, filled, rounds))
    spectra = sum(count for name, count in rows.items() if name in {"valid", "test", "survey"})
    asked = resources_of(config, "predict")
    ranks = asked.nodes * (asked.tasks_per_node or 1) if on_slurm else config.cluster.predict_ranks
    network_s = rehearse_prediction(config, len(labels), device)
    each = members * network_s + rehearse_beside(config, grid)
    units = _units(config, device, ranks, config.predict.threads)
    # Gradients of a few spectra, by the first rank: a pass forward and one back for each label.
    start_s += min(sensitivity.SPECTRA, rows["test"]) * members * len(labels) * network_s / _VALIDATION_SHARE
    found.append(_planned(_Work("predict", spectra, "spectra", each, start_s), device, ranks, units))
    figures, each = rehearse_report(labels, survey=rows.get("survey", 0))
    start_s = start_of("starnet_hpc.evaluate.stage")
    found.append(_planned(_Work("evaluate", figures, "figures", each, start_s), "cpu", 1, 1))
    return found


def _units(config: ExperimentConfig, device: str, processes: int, cores: int) -> int:
    """Return how many cores or GPUs work at the same time: on one machine, no more than it has."""
    if device == "cuda":
        return processes if config.ensemble.executor == "slurm" else min(processes, torch.cuda.device_count())
    if config.ensemble.executor == "slurm":
        return processes * cores
    return min(processes * cores, parallel.available_cores())


def warnings(config: ExperimentConfig, bytes_needed: int, inodes_needed: int, walls: Mapping[str, float]) -> list[str]:
    """Return what of a plan the cluster of the configuration has no room or no time for.

    Args:
        config: of the experiment.
        bytes_needed: to be written.
        inodes_needed: files and folders to be made.
        walls: wall time of each stage where it is known [s]; a job that ends before goes on in its next life.
    """
    return [*_of_the_disk(config, bytes_needed, inodes_needed), *_of_jobs(config, walls)]


def _of_the_disk(config: ExperimentConfig, bytes_needed: int, inodes_needed: int) -> Iterator[str]:
    cluster = config.cluster
    if cluster.scratch is not None and not config.run_dir.is_relative_to(cluster.scratch):
        yield f"run_dir {config.run_dir} is not below {cluster.scratch}, where this cluster wants large files"
    if cluster.quota_gb is not None and bytes_needed > cluster.quota_gb * _GB:
        yield f"{bytes_in_words(bytes_needed)} are to be written, but cluster.quota_gb is {cluster.quota_gb:g}"
    if cluster.quota_files is not None and inodes_needed > cluster.quota_files:
        yield (
            f"{inodes_needed:,} files and folders are to be made, but cluster.quota_files is {cluster.quota_files:,}: "
            f"raise augment.shard_rows"
        )


def _of_jobs(config: ExperimentConfig, walls: Mapping[str, float]) -> Iterator[str]:
    if config.ensemble.executor != "slurm":
        return
    for stage, names in (("prepare", ("ingest", "augment")), ("members", ("ensemble",)), ("predict", ("predict",))):
        asked, wall = resources_of(config, stage), sum(walls.get(name, 0.0) for name in names)
        if asked.time is not None and wall > 60.0 * asked.time:
            yield (
                f"{stage}: some {time_in_words(wall)} (as fast as here), but its job ends after {asked.time} minutes: "
                f"it goes on in further lives, or give it more time, cores or GPUs"
            )
    asked = resources_of(config, "members")
    if asked.mem_gb is not None and config.train.residency == "host":
        store = 2.0 * config.augment.n_train * load_instrument(config.instrument).wavelength.size / asked.nodes / _GB
        need = store + _MEMORY_OF_A_PROCESS_GB * (asked.tasks_per_node or 1)
        if need > asked.mem_gb:
            yield (
                f"members: spectra in memory and processes need some {need:.0f} GB a node, but cluster.mem_gb is "
                f"{asked.mem_gb:g}: ask for more, or set train.residency: stream"
            )


@dataclass(frozen=True)
class _Work:
    """What is to be done."""

    name: str
    items: int
    unit: str
    seconds: float
    start_s: float


def _planned(work: _Work, device: str, processes: int, units: float, rounds: int = 1) -> PlannedLearning:
    """Return the plan of work that so many cores or GPUs share evenly, by so many processes in each round."""
    work_s, starts_s = work.items * work.seconds, rounds * processes * work.start_s
    core, gpu = (None, work_s / _HOUR_S) if device == "cuda" else ((work_s + starts_s) / _HOUR_S, None)
    wall_s = work_s / units + rounds * work.start_s
    return PlannedLearning(work.name, work.items, work.unit, work.seconds, work.start_s, core, gpu, processes, wall_s)


def rows_of_table(found: Sequence[PlannedLearning]) -> Iterator[tuple[str, ...]]:
    """Yield name, work, hours, processes and time of each, in words."""
    for one in found:
        hours = f"{one.core_hours:.2g}" if one.core_hours is not None else f"{one.gpu_hours:.2g} on a GPU"
        yield one.name, f"{one.items:,} {one.unit}", hours, f"{one.processes} processes", time_in_words(one.wall_s)
