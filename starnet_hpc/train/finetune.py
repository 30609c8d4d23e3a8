"""Fine-tuning: the start of a member from another one's weights, and layers that stay as they are there."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from torch import nn

from starnet_hpc.errors import ConfigError, MissingInputError
from starnet_hpc.networks import TrainedOn, describe_member, inherit, load_member
from starnet_hpc.progress import StageLog
from starnet_hpc.stores import read_json, write_json

RECORD = "init_from.json"
"""Beside a member's files: what it began with, also when that is gone."""


def source_file(init_from: Path, member: int) -> Path:
    """Return the file whose weights a member begins with: `init_from` itself, or that of the same member in it."""
    return init_from if init_from.suffix == ".pt" else init_from / f"{member:02d}" / "best.pt"


def source_recipe(init_from: Path | None, member: int, folder: Path) -> dict[str, Any] | None:
    """Return all of the source that a member's weights are a function of, plain values; None without a source.

    What training began with is recorded in the member's folder (`record_source`), and holds where the file is gone.

    Raises:
        MissingInputError: there is no such file, and no record of it.
        StoreDamagedError, StoreMismatchError: it is no whole member of this version.
    """
    if init_from is None:
        return None
    path = source_file(init_from, member)
    if not path.exists():
        recorded = _recorded(folder)
        if recorded is None or recorded["file"] != str(path):
            raise _missing(init_from, path)
        return {name: value for name, value in recorded.items() if name != "file"}
    weights, known = describe_member(path)
    return {"weights": weights, "labels": known.label_names, "mean": known.label_mean, "std": known.label_std}


def record_source(init_from: Path | None, member: int, folder: Path) -> None:
    """Write down what a member begins with."""
    if init_from is not None and source_file(init_from, member).exists():
        recipe = source_recipe(init_from, member, folder)
        write_json(folder / RECORD, {"file": str(source_file(init_from, member)), **(recipe or {})})


def begin_from(
    init_from: Path, freeze: Sequence[str], network: nn.Module, trained_on: TrainedOn, member: int, log: StageLog
) -> None:
    """Give a new network the weights of a trained member, and tell what became of each layer.

    Args:
        init_from: key `train.init_from`.
        freeze: patterns of names of parameters that stay as they are.
        network: new, with weights as drawn.
        trained_on: what it will be trained on.
        member: its number.
        log: where it is told.

    Raises:
        ConfigError: the source is another kind of network, or patterns name nothing, everything, or what begins anew.
        MissingInputError, StoreDamagedError, StoreMismatchError: the source is not there or no whole member.
    """
    path = source_file(init_from, member)
    if not path.exists():
        raise _missing(init_from, path)
    try:
        layers = inherit(network, trained_on, load_member(path))
    except ConfigError as error:
        raise ConfigError(f"train.init_from: {path} {error}") from None
    frozen = freeze_named(network, freeze)
    anew = {layer.name: layer.anew for layer in layers if layer.anew is not None}
    for name in frozen:
        if reason := anew.get(_layer(name)):
            raise ConfigError(f"train.freeze: {name} begins anew ({reason}), and would stay as it was drawn")
    log.info("member %d: begins with the weights of %s", member, path)
    for layer in layers:
        what = layer.name if layer.label is None else f"{layer.name} ({layer.label})"
        stays = " and stays" if layer.name in map(_layer, frozen) else ""
        log.info("  %s: %s", what, f"taken over{stays}" if layer.anew is None else f"begins anew: {layer.anew}")


def freeze_named(network: nn.Module, patterns: Sequence[str]) -> list[str]:
    """Let nothing learn whose name a pattern matches; return the names of these parameters.

    Raises:
        ConfigError: a pattern matches nothing, or all of them everything.
    """
    parameters = dict(network.named_parameters())
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in parameters):
            raise ConfigError(f"train.freeze: {pattern!r} matches none of {', '.join(parameters)}")
    frozen = [name for name in parameters if any(fnmatchcase(name, pattern) for pattern in patterns)]
    if len(frozen) == len(parameters):
        raise ConfigError("train.freeze: the patterns match all parameters, and nothing is left to learn")
    for name in frozen:
        parameters[name].requires_grad_(False)
    return frozen


def keep_still(network: nn.Module) -> None:
    """Let layers whose weights are all frozen work as they do when predicting: their statistics stay as they are."""
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if own and not any(parameter.requires_grad for parameter in own):
            module.eval()


def _layer(parameter: str) -> str:
    return parameter.rpartition(".")[0]


def _recorded(folder: Path) -> dict[str, Any] | None:
    try:
        return dict(read_json(folder / RECORD))
    except (OSError, ValueError):
        return None


def _missing(init_from: Path, path: Path) -> MissingInputError:
    there = sorted(one.parent.name for one in init_from.glob("*/best.pt"))
    if path == init_from or not there:
        remedy = "name a trained member's best.pt, or the folder members/ of a run"
    else:
        remedy = f"that folder has {', '.join(there)}; train more there, lower ensemble.members, or name one best.pt"
    return MissingInputError(f"train.init_from: {path} is not there; {remedy}")
