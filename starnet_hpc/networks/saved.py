"""`best.pt`: all that predicting needs from one member, without any pickled code."""

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from starnet_hpc.config import NetworkConfig, check
from starnet_hpc.errors import MissingInputError, StoreDamagedError, StoreMismatchError
from starnet_hpc.networks.gaussian import LabelScale
from starnet_hpc.networks.resnet import ResNet
from starnet_hpc.networks.starnet import StarNet

FORMAT_VERSION = 1


@dataclass(frozen=True)
class TrainedOn:
    """What a member was trained on; plain values."""

    label_names: list[str]
    label_mean: list[float]
    label_std: list[float]
    label_min: list[float]
    label_max: list[float]
    pixels: int
    wavelength_digest: str
    train_digest: str
    """Content digest of `train.zarr`."""
    snr_min: float
    """Smallest S/N of the training spectra."""

    @property
    def scale(self) -> LabelScale:
        """Standardisation of the labels."""
        return LabelScale(np.array(self.label_mean), np.array(self.label_std))


@dataclass(frozen=True)
class Member:
    """One trained network, ready to predict."""

    number: int
    network: nn.Module
    trained_on: TrainedOn
    digest: str
    """Digest of the training recipe of this member, its seed included."""


def build_network(config: NetworkConfig, pixels: int, labels: int) -> nn.Module:
    """Return a new network with weights drawn from torch's random state."""
    if config.kind == "starnet":
        return StarNet(pixels, labels, variance_floor=config.variance_floor)
    return ResNet(
        pixels, labels, channels=config.channels, dense=config.dense, variance_floor=config.variance_floor
    )


def save_dict(
    network: nn.Module, config: NetworkConfig, trained_on: TrainedOn, number: int, digest: str, **facts: Any
) -> dict[str, Any]:
    """Return what `best.pt` holds, for `torch.save`."""
    return {
        "format": FORMAT_VERSION,
        "member": number,
        "digest": digest,
        "network": config.model_dump(mode="json"),
        "trained_on": vars(trained_on),
        "facts": facts,
        "weights": {name: value.detach().cpu() for name, value in network.state_dict().items()},
    }


def load_member(path: Path, device: str = "cpu") -> Member:
    """Return the member in a `best.pt`.

    Raises:
        MissingInputError: there is no such file.
        StoreDamagedError: it is not a whole file of this format.
    """
    saved, trained_on = _read(path)
    try:
        config = check(NetworkConfig, saved["network"], source=str(path))
        network = build_network(config, trained_on.pixels, len(trained_on.label_names))
        network.load_state_dict(saved["weights"])
    except (RuntimeError, KeyError, ValueError) as error:
        raise _damaged(path, error) from None
    return Member(saved["member"], network.to(device).eval(), trained_on, saved["digest"])


def describe_members(paths: list[Path]) -> tuple[list[str], TrainedOn]:
    """Return the members' digests and what all of them were trained on, without reading their weights.

    Raises:
        MissingInputError: with every missing member in one message.
        StoreMismatchError: members of different experiments, or the same member twice.
    """
    absent = [str(path) for path in paths if not path.exists()]
    if absent:
        raise MissingInputError(
            f"missing members: {', '.join(absent)}; train them with `starnet-hpc ensemble CONFIG`"
        )
    found = [_read(path) for path in paths]
    for path, (_, trained_on) in zip(paths, found, strict=True):
        if trained_on != found[0][1]:
            raise StoreMismatchError(f"{path} was trained on other spectra than {paths[0]}: train all members again")
    digests = [str(saved["digest"]) for saved, _ in found]
    if len(set(digests)) != len(digests):
        raise StoreMismatchError("two members are the same network (same digest): their spread would mean nothing")
    return digests, found[0][1]


def _read(path: Path) -> tuple[dict[str, Any], TrainedOn]:
    if not path.exists():
        raise MissingInputError(f"{path}: no such member; train it with `starnet-hpc ensemble CONFIG`")
    try:
        # weights_only: a file from a stranger can hold wrong numbers, but no code. Mapped: weights are read when used.
        saved = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        return saved, TrainedOn(**saved["trained_on"])
    except (RuntimeError, KeyError, TypeError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> StoreDamagedError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return StoreDamagedError(f"{path}: is not a whole member file ({reason}); train the member again")
