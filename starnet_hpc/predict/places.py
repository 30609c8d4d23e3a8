"""Where in a run directory members and predictions lie, and what networks run on."""

from pathlib import Path

import torch

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.predict.ranks import local_rank


def best_file(config: ExperimentConfig, member: int) -> Path:
    """Return the file with the weights of one member."""
    return config.member_dir(member) / "best.pt"


def predictions_dir(config: ExperimentConfig) -> Path:
    """Return the folder with the units of all predicted stores."""
    return config.run_dir / "predictions"


def calibration_file(config: ExperimentConfig) -> Path:
    """Return the file with the factors that validation spectra gave."""
    return predictions_dir(config) / "calibration.json"


def limits_file(config: ExperimentConfig) -> Path:
    """Return the file with the limits that validation spectra set."""
    return predictions_dir(config) / "limits.json"


def validation_file(config: ExperimentConfig) -> Path:
    """Return the file that says what validation spectra tell of the ensemble, and which ensemble it was."""
    return predictions_dir(config) / "validation.json"


def chosen_device(config: ExperimentConfig) -> str:
    """Return the device that the configuration asks for; a GPU becomes this process's own."""
    wanted = config.predict.device
    device = ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted
    if device == "cuda":
        torch.cuda.set_device(local_rank() % torch.cuda.device_count())  # the ranks of a node share its GPUs
    return device
