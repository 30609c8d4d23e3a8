"""Train: `train.zarr` and `valid.zarr` in; `members/KK/` out. One member, by one process or several."""

import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from starnet_hpc import provenance
from starnet_hpc.allocation import keep_freed_memory
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import ConfigError, InterruptedRunError, StoreMismatchError, TrainingError
from starnet_hpc.instruments import Selection, load_instrument, processing, select_pixels
from starnet_hpc.interrupts import StopRequest, stop_requests
from starnet_hpc.kernels.random import stream
from starnet_hpc.networks import Network, TrainedOn, build_network, recipe_digest, save_dict
from starnet_hpc.progress import Bar, StageLog, stage_log
from starnet_hpc.stores import Store, only_writer, open_store, write_atomically
from starnet_hpc.train import checkpoint
from starnet_hpc.train.board import FOLDER, board, check_board
from starnet_hpc.train.data import rank_data
from starnet_hpc.train.finetune import begin_from, freeze_named, record_source, source_recipe
from starnet_hpc.train.history import write_history
from starnet_hpc.train.loop import Events, Trainer
from starnet_hpc.train.masks import PixelMask
from starnet_hpc.train.order import shards_of_rank, steps_per_epoch
from starnet_hpc.train.ranks import Ranks, joined_ranks
from starnet_hpc.train.residency import Room, measured_room
from starnet_hpc.train.step import check_precision
from starnet_hpc.train.validation import BEST, BEST_SO_FAR, publish

LAST = "last.pt"
"""The state from which training goes on."""
_WITHOUT_EFFECT = {"nodes", "gpus_per_node", "threads", "checkpoint_minutes", "residency", "tensorboard", "init_from"}
"""Keys of the section `train` that change no weight; of `init_from` it is the file's content that does."""


def train(config: ExperimentConfig, member: int = 0) -> Path:
    """Train one member, or go on with it; return its `best.pt`.

    Raises:
        ConfigError: there is no such member, its processes cannot share shards and batches, or TensorBoard is wanted
            and not installed.
        MissingInputError, StoreIncompleteError: the training stores are not there or not finished.
        StoreMismatchError: the member's folder belongs to another configuration.
        RunDirectoryBusyError: the member is being trained already.
        TrainingError: the loss is not finite.
        LauncherError: processes that should train together cannot reach each other, or one of them was lost.
        InterruptedRunError: a signal asked to stop; the state was saved.
    """
    if not 0 <= member < config.ensemble.members:
        count = config.ensemble.members
        raise ConfigError(f"--member {member}: ensemble.members is {count}, so members are 0 to {count - 1}")
    # From the very beginning: a signal that comes while spectra are read is heeded before the first step.
    with (
        stop_requests() as stop,
        joined_ranks() as ranks,
        stage_log(f"train-{member:02d}", config.run_dir, rank=ranks.rank) as log,
    ):
        _train(config, member, ranks, log, stop)
    return config.member_dir(member) / BEST


def is_trained(config: ExperimentConfig, member: int) -> bool:
    """Return whether a member is trained from the stores and the configuration as they are.

    Raises:
        StoreMismatchError: its folder belongs to another configuration.
        MissingInputError, StoreIncompleteError: the training stores are not there or not finished.
    """
    folder = config.member_dir(member)
    return checkpoint.is_finished(folder / LAST, member_digest(config, member)) and (folder / BEST).exists()


def member_digest(config: ExperimentConfig, member: int) -> str:
    """Return the digest of a member's recipe, from the stores and the configuration as they are.

    Raises:
        MissingInputError, StoreIncompleteError: the training stores are not there or not finished.
    """
    return provenance.digest_recipe(member_recipe(config, *_stores(config), member))


def member_recipe(config: ExperimentConfig, train_store: Store, valid_store: Store, member: int) -> dict[str, object]:
    """Return all that a member's weights are a function of, besides the number of processes; plain values."""
    return {
        "stage": "train",
        "member": member,
        "seed": config.seed,
        "init": _seed(config, member, "init"),
        "train": train_store.content_digest,
        "valid": valid_store.content_digest,
        "tellurics": load_instrument(config.instrument).recipe()["tellurics"],
        "zero_fraction_max": config.augment.zero_fraction_max,
        "network": _selection(config).network.model_dump(mode="json"),
        "init_from": source_recipe(config.train.init_from, member, config.member_dir(member)),
        "training": config.train.model_dump(mode="json", exclude=_WITHOUT_EFFECT),
    }


def _stores(config: ExperimentConfig) -> tuple[Store, Store]:
    """Return what is trained and what is validated on."""
    return open_store(config.store("train"), made_by="augment"), open_store(config.store("valid"), made_by="augment")


def _train(config: ExperimentConfig, member: int, ranks: Ranks, log: StageLog, stop: StopRequest) -> None:
    """Train with these processes; what spans them is gone when this returns, as `joined_ranks` wants it."""
    folder = config.member_dir(member)
    ranks.agree(lambda: check_board(config.train.tensorboard and ranks.first))
    ranks.agree(lambda: check_precision(config.train.precision, ranks.device))
    stores = ranks.agree(lambda: _stores(config))
    selection = ranks.agree(lambda: _selection(config))
    # From here on windows stand for themselves, not for the files that they were read from.
    config = config.model_copy(update={"network": selection.network})
    with _only_trainer(folder, ranks):
        digest = ranks.agree(lambda: provenance.digest_recipe(member_recipe(config, *stores, member)))
        found = ranks.agree(lambda: _found(folder, digest, ranks.world))
        if len(set(ranks.everyone(found and (found[0].epoch, found[0].step)))) > 1:
            raise ranks.tell_once(
                TrainingError(f"{folder}: not all processes see the same last.pt; run the same command again")
            )
        torch.set_num_threads(config.train.threads or ranks.cores)
        if ranks.device.type == "cpu":
            keep_freed_memory()  # each step's activations are the last one's again
        if found and found[0].finished:
            _publish(config, *stores, member, ranks, log)
            log.info("member %d: trained already (%d epochs)", member, found[0].epoch)
            return
        if remark := selection.remark(config.augment.vrad_max):
            log.warning("%s", remark)
        # Measured by all before any of them fills it.
        room = ranks.agree(lambda: measured_room(ranks.device, ranks.local_world))
        trainer, trained_on = ranks.agree(
            lambda: _trainer(config, ranks, *stores, member, room, log, goes_on=found is not None)
        )
        log.info("member %d: processes %d, threads of each %d", member, ranks.world, torch.get_num_threads())
        trainer.span_ranks()
        ranks.agree(lambda: record_source(config.train.init_from, member, folder) if ranks.first else None)
        if found:
            found[0].restarts += 1
            trainer.restore(*found)
            log.info("member %d: goes on at epoch %d, step %d", member, found[0].epoch + 1, found[0].step)
        _run(trainer, trained_on, config, member, digest, log, ranks, stop)
        _publish(config, *stores, member, ranks, log)


def _selection(config: ExperimentConfig) -> Selection:
    """Return the pixels that members are given."""
    return select_pixels(config.network, load_instrument(config.instrument))


@contextmanager
def _only_trainer(folder: Path, ranks: Ranks) -> Iterator[None]:
    """Make the member's folder, and let nobody else train the same member meanwhile."""
    with ExitStack() as held:
        ranks.agree(lambda: held.enter_context(only_writer(folder)) if ranks.first else None)
        folder.mkdir(exist_ok=True)
        yield


def _found(folder: Path, digest: str, world: int) -> tuple[checkpoint.Progress, dict[str, Any]] | None:
    """Return what an earlier run left, None if there is nothing that could be continued.

    Raises:
        StoreMismatchError: the folder belongs to another configuration.
    """
    found = checkpoint.load(folder / LAST, digest, world)
    if found is None:
        if recipe_digest(folder / BEST) not in {None, digest}:
            raise StoreMismatchError(
                f"{folder}: holds a member of another configuration; choose another run_dir, or remove the folder"
            )
        return None
    # The best weights are a file of their own: without them there is nothing to go on with.
    best_is_there = (folder / BEST_SO_FAR).exists() or (found[0].finished and (folder / BEST).exists())
    return found if best_is_there or not found[0].history else None


def _publish(
    config: ExperimentConfig, train_store: Store, valid_store: Store, member: int, ranks: Ranks, log: StageLog
) -> None:
    """Let the best weights count as the member's, with what the validation spectra say of them."""
    trained_on = _trained_on(config, train_store)
    publish(
        config.member_dir(member),
        train_store,
        valid_store,
        trained_on,
        new_network(config, trained_on.pixels, len(trained_on.label_names)),
        pixel_mask(config, member, ranks),
        ranks,
        config.train.batch_size,
        log,
    )


def _trainer(
    config: ExperimentConfig,
    ranks: Ranks,
    train_store: Store,
    valid_store: Store,
    member: int,
    room: Room,
    log: StageLog,
    *,
    goes_on: bool,
) -> tuple[Trainer, TrainedOn]:
    """Return what trains a member, with the weights of its beginning; whoever goes on restores others."""
    trained_on = _trained_on(config, train_store)
    if config.train.batch_size % ranks.world:
        raise ConfigError(
            f"train.batch_size {config.train.batch_size} cannot be shared equally by {ranks.world} processes: choose a "
            f"multiple of {ranks.world}"
        )
    steps = steps_per_epoch(train_store, ranks.world, config.train.batch_size // ranks.world)
    torch.manual_seed(_seed(config, member, "init"))
    network = new_network(config, trained_on.pixels, len(trained_on.label_names))
    if config.train.init_from is None or goes_on:
        freeze_named(network, config.train.freeze)
    else:
        begin_from(config.train.init_from, config.train.freeze, network, trained_on, member, log)
    network.to(ranks.device)
    shards = shards_of_rank(train_store, ranks.rank, ranks.world)
    # Validation is small: a rank without a shard of its own reads the same code with no rows.
    valid_shards = list(range(ranks.rank, valid_store.layout.shards, ranks.world))
    data, valid = (
        rank_data(store, trained_on.scale, own, config.train, ranks.device, room, log)
        for store, own in ((train_store, shards), (valid_store, valid_shards))
    )
    mask = pixel_mask(config, member, ranks)
    trainer = Trainer(network, config.train, ranks, (data, valid), mask, seed=config.seed, member=member, steps=steps)
    return trainer, trained_on


def new_network(config: ExperimentConfig, pixels: int, labels: int) -> Network:
    """Return a network of an experiment, with weights drawn from torch's random state."""
    selection = _selection(config)
    return build_network(selection.network, pixels, labels, given=selection.given, ignored=selection.ignored)


def pixel_mask(config: ExperimentConfig, member: int, ranks: Ranks) -> PixelMask:
    """Return what zeroes pixels of a member's spectra on a rank's device."""
    tellurics = torch.from_numpy(load_instrument(config.instrument).tellurics()).to(ranks.device)
    return PixelMask(config.seed, member, tellurics, config.augment.zero_fraction_max)


def _run(
    trainer: Trainer,
    trained_on: TrainedOn,
    config: ExperimentConfig,
    member: int,
    digest: str,
    log: StageLog,
    ranks: Ranks,
    stop: StopRequest,
) -> None:
    folder = config.member_dir(member)

    def save_checkpoint() -> None:
        if ranks.first:
            checkpoint.save(folder / LAST, digest, ranks.world, trainer.progress, trainer.states())
        ranks.wait()

    def save_best() -> None:
        if ranks.first:
            now = trainer.progress
            saved = save_dict(
                trainer.outcome, config.network, trained_on, member, digest,
                epoch=now.epoch, valid_loss=now.best_loss, world=ranks.world, software=provenance.software(),
            )  # fmt: skip
            write_atomically(folder / BEST_SO_FAR, lambda file: torch.save(saved, file))

    def tell(row: dict[str, float], bar: Bar, show: Callable[[dict[str, float]], None]) -> None:
        if ranks.first:
            write_history(folder / "history.csv", trainer.progress.history)
            show(row)
        bar.advance(1, f"loss {row['train_loss']:.3f} train, {row['valid_loss']:.3f} valid")
        log.info(
            "member %d epoch %d: loss %.4f train, %.4f valid; %.0f spectra/s",
            member, row["epoch"], row["train_loss"], row["valid_loss"], row["spectra_per_s"],
        )  # fmt: skip

    with (
        board(folder / FOLDER, trainer.progress.epoch, wanted=config.train.tensorboard and ranks.first) as show,
        log.bar(f"member {member}", config.train.epochs, "epochs", done=trainer.progress.epoch) as bar,
    ):
        events = Events(lambda: bool(stop), save_checkpoint, save_best, lambda row: tell(row, bar, show))
        finished = trainer.run(events)
    if not finished:
        now = trainer.progress
        error = InterruptedRunError(
            f"member {member}: asked to stop in epoch {now.epoch + 1} after step {now.step}; "
            f"the state is saved, run the same command again to go on"
        )
        # An end that is meant (SIGTERM) outweighs a request to go on elsewhere, whichever process it came to.
        error.signal = min((number for number in ranks.everyone(stop.signal) if number), default=None, key=_urgency)
        raise ranks.tell_once(error)


def _urgency(number: int) -> bool:
    return number != signal.SIGTERM


def _trained_on(config: ExperimentConfig, store: Store) -> TrainedOn:
    names = config.train.labels or store.label_names
    if missing := [name for name in names if name not in store.label_names]:
        raise ConfigError(
            f"train.labels: the spectra of {store.path} have no {', '.join(missing)}; choose from "
            f"{', '.join(store.label_names)}"
        )
    places = [store.label_names.index(name) for name in names]
    statistics = {
        key: [store.attributes[key][place] for place in places]
        for key in ("label_mean", "label_std", "label_min", "label_max")
    }
    flat = [name for name, value in zip(names, statistics["label_std"], strict=True) if not value > 0]
    if flat:
        raise ConfigError(
            f"{store.path}: all spectra have the same {', '.join(flat)}, which cannot be learned; "
            f"widen grid.cut or the draws of augment, or name the others in train.labels"
        )
    return TrainedOn(
        label_names=list(names),
        **statistics,
        pixels=store.layout.pixels,
        wavelength_digest=provenance.digest_array(store.wavelength),
        train_digest=store.content_digest,
        snr_min=float(np.min(store.column("draws/snr"))),
        processing=processing(store.attributes["recipe"]),
    )


def _seed(config: ExperimentConfig, member: int, purpose: str) -> int:
    """Return the seed of one purpose of one member: members share none."""
    high, low = stream(config.seed, "train", member, purpose)
    return (high << 32) | low
