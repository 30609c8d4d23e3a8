"""A survey of a million spectra through `predict`: rows a second, and the memory of each rank.

    python -m benchmarks.survey [--rows 1000000] [--ranks 2] [--members 1] [--network small] [--folder DIRECTORY]

The survey is a store of 39,436 pixels in float16, 79 GB for a million rows, of which the disk holds one shard of 512
rows: the files of all others are further names of the same one. So equal rows must get equal labels, which is checked
at the end. Members have random weights. `--network small` is a residual network so small that reading and preparing
spectra is what takes time; `resnet` and `starnet` are the package's.

Memory is what the kernel says of each process (resident, without the pages of files), looked at ten times a second, and
told apart: while units are predicted, and while the first rank joins them to the catalogue.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from starnet_hpc import provenance
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.instruments import load_instrument
from starnet_hpc.launch.chain import find_mpiexec
from starnet_hpc.launch.rundir import claim
from starnet_hpc.networks import TrainedOn, build_network, save_dict
from starnet_hpc.stores import Layout, building, write_json, write_shard
from starnet_hpc.stores.layout import shard_file
from starnet_hpc.stores.markers import marker_path

SHARD_ROWS = 512
LABELS = ["teff", "logg", "feh", "afe", "vsini", "vrad"]
NETWORKS = {
    "small": {"kind": "resnet", "channels": [8], "dense": 16},
    "resnet": {"kind": "resnet"},
    "starnet": {"kind": "starnet"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="spectra of the survey (default 1000000)")
    parser.add_argument("--ranks", type=int, default=2, help="MPI ranks (default 2)")
    parser.add_argument("--members", type=int, default=1)
    parser.add_argument("--network", choices=sorted(NETWORKS), default="small")
    parser.add_argument("--folder", type=Path, help="where to write; by default the system's temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        config = experiment(Path(folder) / "run", options)
        wavelength = load_instrument(config.instrument).wavelength
        write_survey(config, options.rows, wavelength)
        write_members(config, wavelength)
        took, predicting, joining = predict(config, options.rows, options.ranks)
        check(config, options.rows)
    print(
        f"\n{options.rows} spectra of {wavelength.size} pixels, {options.members} members ({options.network}), "
        f"{options.ranks} ranks: {took:.0f} s, {options.rows / took:.0f} spectra/s, the whole command"
    )
    print(f"Most memory of a rank: predicting {predicting / 1e9:.2f} GB, joining the catalogue {joining / 1e9:.2f} GB")


def experiment(run_dir: Path, options: argparse.Namespace) -> ExperimentConfig:
    return ExperimentConfig.model_validate(
        {
            "name": "survey",
            "run_dir": str(run_dir),
            "grid": {"format": "intrigoss", "path": str(run_dir)},
            "instrument": "uves_4835_5395",
            "network": NETWORKS[options.network],
            "ensemble": {"members": options.members},
            "augment": {"n_train": 1, "n_valid": 1, "n_test": 1},
        }
    )


def write_survey(config: ExperimentConfig, rows: int, wavelength: NDArray[np.float64]) -> None:
    """Write `survey.zarr` as `observe` would, with one shard on the disk and many names for it."""
    claim(config)
    layout = Layout(rows, wavelength.size, min(SHARD_ROWS, rows), "float16")
    flux = np.random.default_rng(1).normal(1.0, 0.05, (layout.shard_rows, layout.pixels)).astype(np.float16)
    columns = {
        "id": np.array([f"star-{row:08d}" for row in range(rows)]),
        "snr": np.full(rows, 20.0),
        "flags": np.zeros(rows, dtype=np.int32),
    }
    path = config.store("survey")
    with building(
        path,
        recipe={"stage": "observe"},
        layout=layout,
        wavelength=wavelength,
        columns=columns,
        attributes={"label_names": LABELS},
    ) as build:
        whole = layout.rows // layout.shard_rows
        digest = write_shard(path, layout, build.recipe_digest, 0, flux, {})
        for shard in range(1, whole):
            shard_file(path, shard).parent.mkdir(parents=True, exist_ok=True)
            os.link(shard_file(path, 0), shard_file(path, shard))
            write_json(marker_path(path, shard), {"recipe": build.recipe_digest, "digest": digest, "facts": {}})
        if rest := layout.rows % layout.shard_rows:
            write_shard(path, layout, build.recipe_digest, whole, flux[:rest], {})
        build.finalise()


def write_members(config: ExperimentConfig, wavelength: NDArray[np.float64]) -> None:
    made_up = TrainedOn(
        label_names=LABELS,
        label_mean=[5000.0, 3.0, -1.0, 0.2, 20.0, 0.0],
        label_std=[1000.0, 1.0, 0.7, 0.2, 15.0, 80.0],
        label_min=[3000.0, 0.0, -3.0, -0.5, 0.0, -200.0],
        label_max=[8000.0, 5.5, 1.0, 0.8, 60.0, 200.0],
        pixels=wavelength.size,
        wavelength_digest=provenance.digest_array(wavelength),
        train_digest="none",
        snr_min=10.0,
    )
    for member in range(config.ensemble.members):
        torch.manual_seed(member)
        network = build_network(config.network, made_up.pixels, len(LABELS))
        folder = config.member_dir(member)
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(save_dict(network, config.network, made_up, member, f"member {member}"), folder / "best.pt")


def predict(config: ExperimentConfig, rows: int, ranks: int) -> tuple[float, int, int]:
    """Run the command; return its wall time [s] and the largest memory of a rank before and after units are done."""
    words = [sys.executable, "-m", "starnet_hpc.predict", str(config.run_dir / "config.yaml")]
    if ranks > 1:
        mpiexec = find_mpiexec()
        if mpiexec is None:
            raise SystemExit("there is no mpiexec: install the extra `mpich`, or take --ranks 1")
        words = [mpiexec, "-n", str(ranks), *words]
    units = -(-rows // config.predict.shard_rows)
    folder = config.run_dir / "predictions" / "survey"
    start = time.perf_counter()
    command = psutil.Popen(words)
    predicting = joining = 0
    while command.poll() is None:
        done = sum(1 for entry in os.scandir(folder) if entry.name.startswith("unit-")) if folder.exists() else 0
        largest = max(map(own_memory, [command, *command.children(recursive=True)]))
        if done < units:
            predicting = max(predicting, largest)
        else:
            joining = max(joining, largest)
        time.sleep(0.1)
    if command.returncode:
        raise SystemExit(f"predict ended with {command.returncode}")
    return time.perf_counter() - start, predicting, joining


def own_memory(process: psutil.Process) -> int:
    """Return the memory of a process [bytes] that is not pages of files."""
    try:
        memory = process.memory_info()
    except psutil.Error:  # it has just ended
        return 0
    return int(memory.rss - memory.shared)


def check(config: ExperimentConfig, rows: int) -> None:
    """Make sure that all rows are there, in their order, and that equal spectra have equal labels."""
    table = pq.read_table(config.catalogue("survey").with_suffix(".parquet"))
    assert table["id"].to_pylist() == [f"star-{row:08d}" for row in range(rows)]
    for name in LABELS:
        values = table[name].to_numpy()
        first = values[: min(SHARD_ROWS, rows)]
        assert np.array_equal(values, np.resize(first, rows)), name
        assert np.unique(first).size == first.size, name


if __name__ == "__main__":
    main()
