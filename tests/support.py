"""Tiny but real experiments: stores of closed-form line spectra, members without training, and how to start commands.

The spectra have three lines whose depths, shift and positions follow from the labels by a formula, so that a network
can learn them in seconds, and a test can know the truth.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from starnet_hpc import provenance
from starnet_hpc.config import ExperimentConfig, check
from starnet_hpc.instruments import load_instrument
from starnet_hpc.launch.rundir import claim
from starnet_hpc.networks import FeatureMoments, FeatureSpace, TrainedOn, add_facts, build_network, save_dict
from starnet_hpc.parallel.conditions import started
from starnet_hpc.stores import Layout, building, open_store, write_atomically, write_shard

if TYPE_CHECKING:
    from dask.distributed import LocalCluster

REPOSITORY = Path(__file__).resolve().parents[1]
LABELS = ("teff", "feh", "vrad")
LOW, HIGH = np.array([4000.0, -2.0, -100.0]), np.array([7000.0, 0.5, 100.0])
LINES = (5151.5, 5153.0, 5155.5)
PIXELS = 224
SPEED_OF_LIGHT_KMS = 299_792.458
PATIENCE_S = 240.0
"""A command that takes longer hangs. Where ten processes share a core, torch alone takes a minute to start."""
FOREIGN = ("PMI_", "PMIX_", "OMPI_", "SLURM_", "SUBMITIT_", "MASTER_")
"""Beginnings of variables with which launchers announce ranks to their children."""


def experiment(run_dir: Path, **sections: Mapping[str, Any]) -> ExperimentConfig:
    """Return the configuration of a tiny experiment; keywords change or add to its sections."""
    data: dict[str, Any] = {
        "name": "tiny",
        "seed": 11,
        "run_dir": str(run_dir),
        "grid": {"format": "intrigoss", "path": str(run_dir.parent / "grid")},
        "instrument": {
            "name": "tiny",
            "arms": [{"start": 5150.0, "step": 0.03, "count": PIXELS}],
            "resolution": 20_000,
        },
        "augment": {"shard_rows": 32},
        "network": {"channels": [8, 8], "dense": 16},
        "train": {"epochs": 2, "batch_size": 16, "threads": 1},
        "ensemble": {"members": 2},
        "predict": {"batch_size": 16, "shard_rows": 32},
        "cluster": {"gpus": False},
    }
    for name, changes in sections.items():
        data[name] = {**data.get(name, {}), **changes} if isinstance(changes, Mapping) else changes
    return check(ExperimentConfig, data, source="tests/support.py")


def line_spectra(labels: NDArray[np.float64], wavelength: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return normalised spectra [n, pixels] for labels [n, 3]: hotter, weaker; more metals, deeper; moving, shifted."""
    heat, metals = ((labels - LOW) / (HIGH - LOW))[:, :2].T
    depths = np.stack([0.7 - 0.5 * heat, 0.1 + 0.6 * metals, 0.2 + 0.3 * heat * metals], axis=1)
    centres = np.array(LINES) * (1.0 + labels[:, 2:] / SPEED_OF_LIGHT_KMS)
    profiles = np.exp(-0.5 * ((wavelength - centres[..., None]) / 0.25) ** 2)
    return 1.0 - np.einsum("nl,nlp->np", depths, profiles)


def drawn_labels(rows: int, key: int) -> NDArray[np.float64]:
    return LOW + (HIGH - LOW) * np.random.default_rng(key).random((rows, len(LABELS)))


def write_store(config: ExperimentConfig, name: str, rows: int, *, key: int, shard_rows: int | None = None) -> None:
    """Write `train`, `valid`, `test` or `survey`, finished, as `augment` and `observe` would."""
    wavelength = load_instrument(config.instrument).wavelength
    generator = np.random.default_rng([key, 1])
    labels = drawn_labels(rows, key)
    noise = 0.01 + 0.02 * generator.random(rows)
    flux = line_spectra(labels, wavelength) + noise[:, None] * generator.standard_normal((rows, wavelength.size))
    columns: dict[str, NDArray[Any]] = {
        "labels": labels.astype(np.float32),
        "template": (np.arange(rows) // 4).astype(np.int32),
        "draws/snr": 1.0 / noise,
    }
    if name == "survey":
        columns = {
            "id": np.array([f"star-{row:05d}" for row in range(rows)]),
            "group": np.array([""] * rows),
            "snr": 1.0 / noise,
            "reference": labels,
            "reference_error": np.full(labels.shape, np.nan),
            "flags": np.zeros(rows, dtype=np.uint32),
            "masked_fraction": np.zeros(rows),
        }
    write_rows(config, name, flux, columns, shard_rows=shard_rows)


def write_rows(
    config: ExperimentConfig,
    name: str,
    flux: NDArray[np.floating[Any]],
    columns: Mapping[str, NDArray[Any]],
    *,
    shard_rows: int | None = None,
) -> None:
    """Write a finished store with these fluxes [n, pixels] and columns."""
    dtype = config.augment.dtype
    layout = Layout(flux.shape[0], flux.shape[1], min(shard_rows or config.augment.shard_rows, flux.shape[0]), dtype)
    labels = np.asarray(columns.get("labels", np.zeros((1, len(LABELS)))), dtype=np.float64)
    statistics = {f"label_{how}": getattr(labels, how)(axis=0).tolist() for how in ("mean", "std", "min", "max")}
    with building(
        config.store(name),
        recipe={"tiny": name, "flux": provenance.digest_array(flux)},
        layout=layout,
        wavelength=load_instrument(config.instrument).wavelength,
        columns=columns,
        attributes={"label_names": list(LABELS), "instrument": "tiny", **statistics},
    ) as build:
        for shard in range(layout.shards):
            rows = layout.rows_of(shard)
            part = flux[rows.start : rows.stop].astype(dtype)
            write_shard(config.store(name), layout, build.recipe_digest, shard, part, {})
        build.finalise()


def ready_to_train(
    run_dir: Path, *, rows: int = 128, valid: int = 48, **sections: Mapping[str, Any]
) -> ExperimentConfig:
    """Return an experiment whose `train.zarr` and `valid.zarr` are there."""
    config = experiment(run_dir, **sections)
    claim(config)
    write_store(config, "train", rows, key=1)
    write_store(config, "valid", valid, key=2)
    return config


def ready_to_predict(
    run_dir: Path,
    *,
    survey: int = 80,
    test: int = 0,
    valid: int = 0,
    shard_rows: int = 16,
    **sections: Mapping[str, Any],
) -> ExperimentConfig:
    """Return an experiment with members (random weights, but real files) and stores to predict."""
    config = experiment(run_dir, survey={"path": str(run_dir.parent / "observed"), "frame": "rest"}, **sections)
    claim(config)
    write_store(config, "train", 64, key=1)
    write_store(config, "survey", survey, key=3, shard_rows=shard_rows)
    for name, rows, key in (("test", test, 4), ("valid", valid, 2)):
        if rows:
            write_store(config, name, rows, key=key, shard_rows=shard_rows)
    for member in range(config.ensemble.members):
        write_member(config, member)
    return config


def trained_on(config: ExperimentConfig) -> TrainedOn:
    """Return what members say they were trained on: the experiment's `train.zarr`."""
    store = open_store(config.store("train"), made_by="augment")
    attributes = store.attributes
    return TrainedOn(
        label_names=list(store.label_names),
        label_mean=attributes["label_mean"],
        label_std=attributes["label_std"],
        label_min=attributes["label_min"],
        label_max=attributes["label_max"],
        pixels=store.layout.pixels,
        wavelength_digest=provenance.digest_array(store.wavelength),
        train_digest=store.content_digest,
        snr_min=30.0,
    )


def write_member(config: ExperimentConfig, member: int, *, seed: int | None = None, features: bool = True) -> Path:
    """Write the `best.pt` of an untrained member, whose head is turned up so that labels differ from row to row.

    Without `features` it is one of the time before members kept where their features lie.
    """
    known = trained_on(config)
    torch.manual_seed(100 + member if seed is None else seed)
    network = build_network(config.network, known.pixels, len(known.label_names))
    with torch.no_grad():
        network.get_submodule("head.linear").weight.mul_(50.0)
    saved = save_dict(network, config.network, known, member, f"recipe-{member}-{seed}")
    path = config.member_dir(member) / "best.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda file: torch.save(saved, file))
    if features:
        store = open_store(config.store("train"), made_by="augment")
        with torch.inference_mode():
            hidden = network.eval().hidden(torch.from_numpy(store.read(0, len(store))).float())
        add_facts(path, path, FeatureSpace.of([FeatureMoments.of(hidden)]))
    return path


def environment(**changes: str) -> dict[str, str]:
    """Return the environment for a subprocess: the package can be imported, one thread, no launcher."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    paths = [str(REPOSITORY), *filter(None, [ours.get("PYTHONPATH")])]
    return {**ours, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", **changes}


def start(*words: str | Path, **changes: str) -> subprocess.Popen[str]:
    """Start `python WORDS...` and return the process; both outputs are read through `communicate`."""
    return subprocess.Popen(
        [sys.executable, *map(str, words)],
        env=environment(**changes),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*words: str | Path, limit_s: float = PATIENCE_S, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run `python WORDS...` to its end, whatever its exit code."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        env=environment(**changes),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


def start_ranks(count: int, *words: str | Path, port: int, **changes: str) -> list[subprocess.Popen[str]]:
    """Start `python WORDS...` in processes that find each other as torchrun's do."""
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    common |= {"LOCAL_WORLD_SIZE": str(count), **changes}
    return [start(*words, **common, RANK=str(rank), LOCAL_RANK=str(rank)) for rank in range(count)]


def finish(processes: Sequence[subprocess.Popen[str]], limit_s: float = PATIENCE_S) -> list[tuple[int, str]]:
    """Return exit code and standard error of each process when all have ended; none outlives this call."""
    end = time.monotonic() + limit_s
    try:
        told = [process.communicate(timeout=max(end - time.monotonic(), 0.1))[1] for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
    return [(process.returncode, text) for process, text in zip(processes, told, strict=True)]


def dask_cluster(workers: int, threads: int = 1) -> LocalCluster:
    """Start a scheduler with workers, as somebody other than the package would; without workers it waits for some."""
    from dask.distributed import LocalCluster

    # A client that an earlier test left may be collected in the new loop's thread, and would wait there for its start.
    return started(
        lambda: LocalCluster(
            n_workers=workers, threads_per_worker=threads, dashboard_address="127.0.0.1:0", silence_logs=60
        )
    )


def free_port() -> int:
    """Return a TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object], what: str, limit_s: float = 30.0) -> None:
    """Poll until `condition()` holds; fail after `limit_s`."""
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {limit_s} s"
        time.sleep(0.01)


def processes(words: str) -> list[int]:
    """Return the ids of living processes whose command line holds these words, without this one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError):  # it has just ended
            continue
        if words in command and state != "Z" and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return sorted(found)


def same_weights(a: Path, b: Path) -> bool:
    """Say whether two member files hold the same weights, bit for bit."""
    one, two = (torch.load(path, weights_only=True)["weights"] for path in (a, b))
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
