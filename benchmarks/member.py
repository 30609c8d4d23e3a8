"""A whole training of one member, from templates to the plateau, with the machine's limits beside it.

    python -m benchmarks.member [--templates reference.npz] [--spectra 90000] [--epochs 30] [--folder DIRECTORY]
                                [--network resnet] [--precision bfloat16] [--batch 256] [--rate 2e-3]

The package's own commands make the spectra (39,436 pixels, float16) and train on them, on a GPU if there is one; the
figures are from what they write: `members/00/history.csv` and `members/00/validation.json`. The validation spectra are
of templates that training has not seen, or of the same ones where the templates were made up.

An epoch cannot be faster than its operations at the rate of a large product in the same precision, nor than the bytes
of its spectra and weights at the rate of a large copy; both rates are measured on the same device after the training.
"""

import argparse
import csv
import json
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks import store
from benchmarks.training import PASSES, PLAIN, rates, step_operations
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.parallel import available_cores
from starnet_hpc.stores import open_store

NEAR = 0.02
"""A validation loss is at the plateau if it is within this of the best one."""
_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--templates", type=Path, help=".npz with wl, norm and par; made up by default")
    parser.add_argument("--spectra", type=int, default=90_000, help="of all three stores (default 90000)")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--network", choices=sorted(PLAIN), default="resnet")
    parser.add_argument("--precision", choices=sorted(_TYPES), default="bfloat16")
    parser.add_argument("--batch", type=int, default=256, help="spectra a step (default 256)")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate (default 2e-3)")
    parser.add_argument("--folder", type=Path, help="where to write; by default the system's temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        config = experiment(Path(folder) / "run", options)
        store.write_grid(config, options.templates)
        for stage in (("augment",), ("train", "--member", "0")):
            run(config, *stage)
        report(config, options)


def experiment(run_dir: Path, options: argparse.Namespace) -> ExperimentConfig:
    """Return the paper's instrument and ranges, with a training of this size."""
    plain = store.experiment(run_dir, options.spectra).model_dump(mode="json", exclude_unset=True)
    plain["augment"]["workers"] = available_cores()
    plain["network"] = {"kind": options.network}
    plain["train"] = {
        "epochs": options.epochs,
        "batch_size": options.batch,
        "learning_rate": options.rate,
        "precision": options.precision,
    }
    return ExperimentConfig.model_validate(plain)


def run(config: ExperimentConfig, stage: str, *words: str) -> None:
    command = [sys.executable, "-m", f"starnet_hpc.{stage}", str(config.run_dir / "config.yaml"), *words]
    if code := subprocess.run(command, check=False).returncode:
        raise SystemExit(f"{stage} ended with {code}")


def report(config: ExperimentConfig, options: argparse.Namespace) -> None:
    """Print what the training wrote, and the limits."""
    with (config.member_dir(0) / "history.csv").open(encoding="utf-8", newline="") as file:
        epochs = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    found = json.loads((config.member_dir(0) / "validation.json").read_text(encoding="utf-8"))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows = len(open_store(config.store("train")))
    pixels = open_store(config.store("train")).layout.pixels
    steps = rows // options.batch
    best = min(epoch["valid_loss"] for epoch in epochs)
    until = next(k for k, epoch in enumerate(epochs, 1) if epoch["valid_loss"] <= best + NEAR)
    spent = [epoch["seconds"] + epoch["valid_seconds"] for epoch in epochs]
    usual = statistics.median(epoch["seconds"] for epoch in epochs[1:] or epochs)  # the first one warms up

    twin = PLAIN[options.network](pixels)
    operations, copied = rates(device, _TYPES[options.precision])
    weights = 4 * sum(weight.numel() for weight in twin.parameters())
    bounds = (
        steps * step_operations(twin, pixels, options.batch) / operations,
        steps * (PASSES * weights + 2 * pixels * options.batch) / copied,
    )
    print(f"\n{name_of(device)}; torch {torch.__version__}, Python {platform.python_version()}")
    print(
        f"{rows} spectra of {pixels} pixels, {options.network} ({weights / 4e6:.2f} M weights), {options.precision}, "
        f"batches of {options.batch}; products {operations / 1e12:.2f} TFLOP/s, copies {copied / 1e9:.0f} GB/s\n"
    )
    rows_of_table: list[tuple[str, Any]] = [
        ("an epoch's steps", f"{usual:.2f} s (median; the first {epochs[0]['seconds']:.2f} s)"),
        ("their limits", f"operations {bounds[0]:.3f} s, bytes {bounds[1]:.3f} s: {100 * max(bounds) / usual:.0f} %"),
        ("shares", ", ".join(f"{p} {100 * epochs[-1][f'{p}_share']:.0f} %" for p in SHARES)),
        (f"until the validation loss was within {NEAR} of its best", f"{sum(spent[:until]):.1f} s, {until} epochs"),
        ("whole training", f"{sum(spent):.1f} s, {len(epochs)} epochs"),
        ("best validation loss", f"{best:.3f} a label"),
        ("most memory", f"GPU {epochs[-1]['gpu_gb']:.2f} GB, host {epochs[-1]['host_gb']:.2f} GB"),
    ]
    for label, scores in found["labels"].items():
        rows_of_table.append(
            (
                f"median absolute residual, {label}",
                f"{scores['median_absolute']:.3g}; {scores['coverage_68']:.1f} % within one sigma",
            )
        )
    print("| what | figure |\n|---|---|")
    for what, figure in rows_of_table:
        print(f"| {what} | {figure} |")


SHARES = ("data", "forward", "backward", "optimiser", "other")


def name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.processor()}, CPU only"


if __name__ == "__main__":
    main()
