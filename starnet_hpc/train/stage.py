"""Train: `train.zarr` and `valid.zarr` in; `members/KK/` out. One member, by one process or several."""

import os
from pathlib import Path

import numpy as np
import torch

from starnet_hpc import provenance
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import ConfigError, InterruptedRunError, StoreMismatchError
from starnet_hpc.instruments import load_instrument
from starnet_hpc.interrupts import stop_requests
from starnet_hpc.kernels.random import stream
from starnet_hpc.networks import TrainedOn, build_network, load_member, save_dict
from starnet_hpc.progress import Bar, StageLog, stage_log
from starnet_hpc.stores import Store, open_store, write_atomically
from starnet_hpc.train import checkpoint
from starnet_hpc.train.data import RankData, shards_of_rank, steps_per_epoch
from starnet_hpc.train.loop import Events, Trainer
from starnet_hpc.train.masks import PixelMask
from starnet_hpc.train.ranks import Ranks, joined_ranks


def train(config: ExperimentConfig, member: int = 0) -> Path:
    """Train one member, or go on with it; return its `best.pt`.

    Raises:
        MissingInputError, StoreIncompleteError: the training stores are not there or not finished.
        StoreMismatchError: the member's folder belongs to another configuration.
        TrainingError: the loss is not finite.
        InterruptedRunError: a signal asked to stop; the state was saved.
    """
    if not 0 <= member < config.ensemble.members:
        raise ConfigError(f"--member {member}: ensemble.members is {config.ensemble.members}, so members are 0 to {config.ensemble.members - 1}")
    train_store = open_store(config.store("train"), made_by="augment")
    valid_store = open_store(config.store("valid"), made_by="augment")
    folder = config.member_dir(member)
    with joined_ranks() as ranks, stage_log(f"train-{member:02d}", config.run_dir, quiet=not ranks.first) as log:
        _set_threads(config, ranks)
        if ranks.first:
            folder.mkdir(parents=True, exist_ok=True)
        ranks.wait()
        digest = provenance.digest_recipe(member_recipe(config, train_store, valid_store, member))
        found = checkpoint.load(folder / "last.pt", digest, ranks.world)
        if found and found[0].finished and (folder / "best.pt").exists():
            log.info("member %d: trained already (%d epochs)", member, found[0].epoch)
            return folder / "best.pt"
        if found is None and (folder / "best.pt").exists() and load_member(folder / "best.pt").digest != digest:
            raise StoreMismatchError(
                f"{folder}: holds a member of another configuration; choose another run_dir, or remove the folder"
            )
        trainer, trained_on = _trainer(config, ranks, train_store, valid_store, member)
        if found:
            found[0].restarts += 1
            trainer.restore(found[0], found[1]["network"], found[1]["optimizer"])
            log.info("member %d: goes on at epoch %d, step %d", member, found[0].epoch + 1, found[0].step)
        _run(trainer, trained_on, config, member, digest, log, ranks)
    return folder / "best.pt"


def is_trained(config: ExperimentConfig, member: int) -> bool:
    """Return whether a member is trained from the stores and the configuration as they are.

    Raises:
        StoreMismatchError: its folder belongs to another configuration.
        MissingInputError, StoreIncompleteError: the training stores are not there or not finished.
    """
    folder = config.member_dir(member)
    train_store = open_store(config.store("train"), made_by="augment")
    valid_store = open_store(config.store("valid"), made_by="augment")
    digest = provenance.digest_recipe(member_recipe(config, train_store, valid_store, member))
    return checkpoint.is_finished(folder / "last.pt", digest) and (folder / "best.pt").exists()


def member_recipe(config: ExperimentConfig, train_store: Store, valid_store: Store, member: int) -> dict[str, object]:
    """Return everything that a member's weights are a function of (besides the number of processes), as plain values."""
    instrument = load_instrument(config.instrument)
    return {
        "stage": "train",
        "member": member,
        "seed": config.seed,
        "seeds": {name: _seed(config, member, name) for name in ("init", "order", "zero-pixels")},
        "train": train_store.content_digest,
        "valid": valid_store.content_digest,
        "tellurics": instrument.config.model_dump(mode="json")["tellurics"],
        "zero_fraction_max": config.augment.zero_fraction_max,
        "network": config.network.model_dump(mode="json"),
        "training": config.train.model_dump(mode="json", exclude={"nodes", "gpus_per_node", "threads", "checkpoint_minutes"}),
    }


def _trainer(
    config: ExperimentConfig, ranks: Ranks, train_store: Store, valid_store: Store, member: int
) -> tuple[Trainer, TrainedOn]:
    trained_on = _trained_on(train_store)
    local_batch = config.train.batch_size // ranks.world
    if config.train.batch_size % ranks.world:
        raise ConfigError(f"train.batch_size {config.train.batch_size} cannot be shared equally by {ranks.world} processes")
    steps = steps_per_epoch(train_store, ranks.world, local_batch)
    torch.manual_seed(_seed(config, member, "init"))
    network = build_network(config.network, train_store.layout.pixels, len(trained_on.label_names)).to(ranks.device)
    data = RankData(train_store, trained_on.scale, shards_of_rank(train_store, ranks.rank, ranks.world))
    # Validation is small: a rank without a shard of its own reads the same code with no rows.
    valid_shards = list(range(ranks.rank, valid_store.layout.shards, ranks.world))
    valid = RankData(valid_store, trained_on.scale, valid_shards)
    tellurics = torch.from_numpy(load_instrument(config.instrument).tellurics()).to(ranks.device)
    mask = PixelMask(config.seed, member, tellurics, config.augment.zero_fraction_max)
    trainer = Trainer(network, config.train, ranks, (data, valid), mask, seed=config.seed, member=member, steps=steps)
    return trainer, trained_on


def _run(
    trainer: Trainer,
    trained_on: TrainedOn,
    config: ExperimentConfig,
    member: int,
    digest: str,
    log: StageLog,
    ranks: Ranks,
) -> None:
    folder = config.member_dir(member)

    def save_checkpoint() -> None:
        if ranks.first:
            states = {"network": trainer.network.state_dict(), "optimizer": trainer.optimizer.state_dict()}
            checkpoint.save(folder / "last.pt", digest, ranks.world, trainer.progress, states)
        ranks.wait()

    def save_best() -> None:
        if ranks.first:
            now = trainer.progress
            saved = save_dict(
                trainer.network, config.network, trained_on, member, digest,
                epoch=now.epoch, valid_loss=now.best_loss, world=ranks.world, software=provenance.software(),
            )  # fmt: skip
            write_atomically(folder / "best.pt", lambda file: torch.save(saved, file))

    def tell(row: dict[str, float], bar: Bar) -> None:
        if ranks.first:
            checkpoint.write_history(folder / "history.csv", trainer.progress.history)
        bar.advance(1, f"loss {row['train_loss']:.3f} train, {row['valid_loss']:.3f} valid")
        log.info(
            "member %d epoch %d: loss %.4f train, %.4f valid; %.0f spectra/s",
            member, row["epoch"], row["train_loss"], row["valid_loss"], row["spectra_per_s"],
        )  # fmt: skip

    with stop_requests() as stop, log.bar(f"member {member}", config.train.epochs, "epochs", done=trainer.progress.epoch) as bar:
        events = Events(lambda: bool(stop), save_checkpoint, save_best, lambda row: tell(row, bar))
        finished = trainer.run(events)
    if not finished:
        now = trainer.progress
        raise InterruptedRunError(
            f"member {member}: asked to stop in epoch {now.epoch + 1} after step {now.step}; "
            f"the state is saved, run the same command again to go on"
        )


def _trained_on(store: Store) -> TrainedOn:
    attributes = store.attributes
    std = attributes["label_std"]
    flat = [name for name, value in zip(store.label_names, std, strict=True) if not value > 0]
    if flat:
        raise ConfigError(f"{store.path}: all spectra have the same {', '.join(flat)}, which cannot be learned; widen grid.cut or the draws")
    return TrainedOn(
        label_names=list(store.label_names),
        label_mean=attributes["label_mean"],
        label_std=std,
        label_min=attributes["label_min"],
        label_max=attributes["label_max"],
        pixels=store.layout.pixels,
        wavelength_digest=provenance.digest_array(store.wavelength),
        train_digest=store.content_digest,
        snr_min=float(np.min(store.column("draws/snr"))),
    )


def _seed(config: ExperimentConfig, member: int, purpose: str) -> int:
    """Return the seed of one purpose of one member: members share none."""
    high, low = stream(config.seed, "train", member, purpose)
    return (high << 32) | low


def _set_threads(config: ExperimentConfig, ranks: Ranks) -> None:
    cores = len(os.sched_getaffinity(0))
    torch.set_num_threads(config.train.threads or max(1, cores // ranks.local_world))
