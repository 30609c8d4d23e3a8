"""`best.pt`: all that predicting needs from one member, without any pickled code."""

import pickle
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from starnet_hpc import provenance
from starnet_hpc.config import NetworkConfig, check
from starnet_hpc.errors import ConfigError, MissingInputError, StoreDamagedError, StoreMismatchError
from starnet_hpc.networks.features import FeatureSpace
from starnet_hpc.networks.heads import make_head
from starnet_hpc.networks.network import Network
from starnet_hpc.networks.resnet import ResNet
from starnet_hpc.networks.scale import LabelScale
from starnet_hpc.networks.starnet import StarNet
from starnet_hpc.networks.view import View
from starnet_hpc.stores import write_atomically

FORMAT_VERSION = 2
Numbers = Tensor | NDArray[Any]


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
    processing: dict[str, Any] | None = field(default=None, compare=False)
    """How the continuum of the training spectra was found, and their resolution; None: an earlier version did not keep
    that. `train_digest` tells members of different spectra apart already."""

    @property
    def scale(self) -> LabelScale:
        """Standardisation of the labels."""
        return LabelScale(np.array(self.label_mean), np.array(self.label_std), tuple(self.label_names))


@dataclass(frozen=True)
class Member:
    """One trained network, ready to predict."""

    number: int
    network: Network
    trained_on: TrainedOn
    digest: str
    """Digest of the training recipe of this member, its seed included."""
    features: FeatureSpace | None = None
    """Where its last hidden layer puts training spectra; None: an earlier version did not keep that."""

    def sees(self, flux: Tensor) -> Tensor:
        """Return which spectra [batch] of flux [batch, pixels] show the network anything but masked pixels."""
        return (self.network.view.seen(flux) != 0).any(dim=1)


def build_network(
    config: NetworkConfig, pixels: int, labels: int, *, given: Numbers | None = None, ignored: Numbers | None = None
) -> Network:
    """Return a new network with weights drawn from torch's random state.

    Args:
        config: what kind of network; of its windows, the next two arguments say what they mean.
        pixels: length of a spectrum.
        labels: how many are predicted.
        given: numbers of the pixels [n] (int64) that the layers are given; None: all.
        ignored: which of these are masked in every spectrum [n] (bool); None: none.
    """
    head = partial(make_head, labels=labels, config=config)
    given, ignored = (None if one is None else torch.as_tensor(one) for one in (given, ignored))
    # To the residual network a masked pixel, which says nothing, looks as the continuum does, not like a black line.
    continuum = 0.0 if config.kind == "starnet" else 1.0
    view = View(pixels, continuum=continuum, mask_channel=config.mask_channel, given=given, ignored=ignored)
    if config.kind == "starnet":
        return StarNet(view, head)
    return ResNet(view, head, channels=config.channels, dense=config.dense)


def save_dict(
    network: nn.Module, config: NetworkConfig, trained_on: TrainedOn, number: int, digest: str, **facts: Any
) -> dict[str, Any]:
    """Return what `best.pt` holds, for `torch.save`."""
    weights = {name: value.detach().cpu() for name, value in network.state_dict().items()}
    return {
        "format": FORMAT_VERSION,
        "member": number,
        "digest": digest,
        "network": config.model_dump(mode="json"),
        "trained_on": vars(trained_on),
        "facts": facts,
        "weights_digest": _digest_weights(weights),
        "weights": weights,
    }


def add_facts(path: Path, target: Path, features: FeatureSpace, **facts: Any) -> None:
    """Write the member in a file to another one, with its feature space, and further facts beside those that it has.

    Raises:
        MissingInputError, StoreDamagedError, StoreMismatchError: as `load_member`.
    """
    saved, _ = _read(path)
    saved["facts"] = {**saved["facts"], **facts}
    saved["features"] = {**vars(features), "digest": _digest_features(features)}
    write_atomically(target, lambda file: torch.save(saved, file))


def load_member(path: Path, device: str = "cpu") -> Member:
    """Return the member in a `best.pt`.

    Raises:
        MissingInputError: there is no such file.
        StoreDamagedError: it is not a whole file of this format.
        StoreMismatchError: another version of the package wrote it.
    """
    saved, trained_on = _read(path)
    try:
        if _digest_weights(saved["weights"]) != saved["weights_digest"]:
            raise _damaged(path, "its weights are not those that were written")
        config = check(NetworkConfig, saved["network"], source=str(path))
        windows = {name: saved["weights"].get(f"view.{name}") for name in ("given", "ignored")}
        network = build_network(config, trained_on.pixels, len(trained_on.label_names), **windows)
        network.load_state_dict(saved["weights"])
        number, digest = int(saved["member"]), str(saved["digest"])
        features = _features(path, saved)
    except (KeyError, TypeError, AttributeError):
        raise _damaged(path, "something is missing in it") from None
    except ConfigError as error:
        raise _damaged(path, str(error)) from None
    except StoreDamagedError:
        raise
    except RuntimeError:
        raise _damaged(path, "its weights do not fit its network") from None
    return Member(number, network.to(device).eval(), trained_on, digest, features and features.to(device))


def describe_members(paths: list[Path]) -> tuple[list[str], TrainedOn]:
    """Return digests of all that the members predict with, and what they were trained on; weights stay on the disk.

    Args:
        paths: the file of member k at place k.

    Raises:
        MissingInputError: with every missing member in one message.
        StoreDamagedError: a file is not a whole member.
        StoreMismatchError: members of different experiments, the same member twice, or a member in another's place.
    """
    absent = [str(path) for path in paths if not path.exists()]
    if absent:
        raise MissingInputError(f"missing members: {', '.join(absent)}; train them with `starnet-hpc ensemble CONFIG`")
    found = [_read(path) for path in paths]
    for number, (path, (saved, trained_on)) in enumerate(zip(paths, found, strict=True)):
        if trained_on != found[0][1]:
            raise StoreMismatchError(f"{path} was trained on other spectra than {paths[0]}: train all again")
        if saved["member"] != number:
            raise StoreMismatchError(f"{path} holds member {saved['member']}: put it back, or train again")
    for key in ("digest", "weights_digest"):
        if len({str(saved[key]) for saved, _ in found}) != len(found):
            raise StoreMismatchError(
                "two members are the same network, and their spread would mean nothing: train them again"
            )
    return [_digest_all(path, saved) for path, (saved, _) in zip(paths, found, strict=True)], found[0][1]


def describe_member(path: Path) -> tuple[str, TrainedOn]:
    """Return the digest of a member's weights, and what it was trained on; weights stay on the disk.

    Raises:
        MissingInputError, StoreDamagedError, StoreMismatchError: as `load_member`.
    """
    saved, trained_on = _read(path)
    return str(saved["weights_digest"]), trained_on


def recipe_digest(path: Path) -> str | None:
    """Return the digest of the training recipe in a `best.pt`; None if there is no such file, or no whole one."""
    try:
        return str(_read(path)[0]["digest"])
    except (MissingInputError, StoreDamagedError):
        return None


def _read(path: Path) -> tuple[dict[str, Any], TrainedOn]:
    if not path.exists():
        raise MissingInputError(f"{path}: no such member; train it with `starnet-hpc ensemble CONFIG`")
    try:
        # weights_only: a file from a stranger can hold wrong numbers, but no code. Mapped: weights are read when used.
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        found = saved["format"]
        if found == FORMAT_VERSION:
            lacking = {"member", "digest", "network", "weights_digest", "weights"} - set(saved)
            if lacking:
                raise _damaged(path, f"it lacks {', '.join(sorted(lacking))}")
            return saved, TrainedOn(**saved["trained_on"])
    except pickle.UnpicklingError:
        raise _damaged(path, "it holds other things than numbers and text, which are not loaded") from None
    except StoreDamagedError:
        raise
    except (RuntimeError, EOFError, OSError, ValueError):
        raise _damaged(path, "it is cut short, or no such file at all") from None
    except (KeyError, TypeError, AttributeError, IndexError):
        raise _damaged(path, "it holds something else") from None
    raise StoreMismatchError(
        f"{path}: another version of starnet_hpc wrote it (format {found}, here {FORMAT_VERSION}); train it again"
    )


def _damaged(path: Path, reason: str) -> StoreDamagedError:
    return StoreDamagedError(f"{path} is not a whole member file: {reason}; train the member again")


def _features(path: Path, saved: dict[str, Any]) -> FeatureSpace | None:
    """Return the feature space in a member's file; files of earlier versions have none."""
    if "features" not in saved:
        return None
    kept = saved["features"]
    features = FeatureSpace(kept["mean"], kept["whitening"], int(kept["rows"]))
    if _digest_features(features) != kept["digest"]:
        raise _damaged(path, "the statistics of its features are not those that were written")
    return features


def _digest_all(path: Path, saved: dict[str, Any]) -> str:
    weights = str(saved["weights_digest"])
    if "features" not in saved:
        return weights
    try:
        return provenance.digest_recipe({"weights": weights, "features": str(saved["features"]["digest"])})
    except (KeyError, TypeError):
        raise _damaged(path, "something is missing in it") from None


def _digest_features(features: FeatureSpace) -> str:
    return _digest_weights({"mean": features.mean, "whitening": features.whitening})


def _digest_weights(weights: dict[str, torch.Tensor]) -> str:
    return provenance.digest_recipe({name: provenance.digest_array(value.numpy()) for name, value in weights.items()})
