"""The end of a training: the weights that are kept are judged on the validation spectra, and published.

Training spectra pass through them once more, a few thousand of them, for what predictions want to know besides: where
the last hidden layer puts spectra that the member knows.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from starnet_hpc.interrupts import stop_requests
from starnet_hpc.networks import FeatureMoments, FeatureSpace, Network, TrainedOn, add_facts, load_member
from starnet_hpc.networks.validation import CONVENTIONS, Judged, label_scores
from starnet_hpc.progress import StageLog
from starnet_hpc.stores import Store, write_json
from starnet_hpc.train.data import RankData
from starnet_hpc.train.masks import PixelMask
from starnet_hpc.train.ranks import Ranks

BEST = "best.pt"
"""The trained member; not there before training has ended."""
BEST_SO_FAR = "best-so-far.pt"
"""The best weights before they are published."""
REPORT = "validation.json"
_FEATURE_ROWS = 4096
"""Training spectra that tell the space of features: 16 for each of 256 features, in seconds. Whole shards of them, the
first ones: a store's rows are of templates in random order."""


@dataclass(frozen=True)
class Predicted:
    """What a network says of some rows, on standardised labels; each [rows, labels] but the first."""

    rows: NDArray[np.int64]
    mean: NDArray[np.float32]
    variance: NDArray[np.float32]
    surprise: NDArray[np.float32]
    """-ln(density) of the truth, without ln(2 pi)/2."""
    place: NDArray[np.float32]
    """Share of the predicted distribution below the truth."""


def publish(
    folder: Path,
    train_store: Store,
    store: Store,
    trained_on: TrainedOn,
    network: Network,
    mask: PixelMask,
    ranks: Ranks,
    batch_size: int,
    log: StageLog,
) -> None:
    """Judge the best weights, write `validation.json`, and let them count as the member's: only now is it trained.

    Every process takes part; does nothing where it was done before. A signal to stop waits until all is there.

    Args:
        folder: of the member.
        train_store: training spectra.
        store: validation spectra.
        trained_on: what the member was trained on.
        network: like the member's; its weights are of no account.
        mask: what of its augmentations is not random.
        ranks: the processes.
        batch_size: spectra that go through the network together. They are rows of one shard, in order, whatever the
            number of processes: so are the bits of the report.
        log: where the report is told in a line.
    """
    if not ranks.everyone((folder / BEST_SO_FAR).exists())[0]:
        return
    with stop_requests():
        network = _best_network(folder, network, ranks)
        shards = range(ranks.rank, store.layout.shards, ranks.world)
        own = [_predicted(network, store, shard, trained_on, mask, ranks.device, batch_size) for shard in shards]
        everyone = [part for parts in ranks.everyone(own) for part in parts]
        moments = _feature_moments(network, train_store, trained_on, mask, ranks, batch_size)
        ranks.agree(lambda: _write(folder, store, trained_on, everyone, moments, log) if ranks.first else None)


def _best_network(folder: Path, network: Network, ranks: Ranks) -> Network:
    """Return the network with the best weights, which the first process reads: others may not see the file yet."""
    member = ranks.agree(lambda: load_member(folder / BEST_SO_FAR) if ranks.first else None)
    best = (member.network if member is not None else network).to(ranks.device).eval()
    ranks.from_first(best.state_dict().values())
    return best


@torch.inference_mode()
def _predicted(
    network: Network,
    store: Store,
    shard: int,
    trained_on: TrainedOn,
    mask: PixelMask,
    device: torch.device,
    batch_size: int,
) -> Predicted:
    data = RankData(store, trained_on.scale, [shard], device=device)
    parts = []
    for batch in data.in_order(batch_size):
        said = network(mask.always(batch.flux.float()))
        found = (said.mean, said.variance, -said.log_likelihood(batch.labels), said.cumulative(batch.labels))
        parts.append([part.cpu().numpy() for part in found])
    return Predicted(data.rows, *(np.concatenate(part) for part in zip(*parts, strict=True)))


@torch.inference_mode()
def _feature_moments(
    network: Network, store: Store, trained_on: TrainedOn, mask: PixelMask, ranks: Ranks, batch_size: int
) -> list[FeatureMoments]:
    """Return the moments of the last hidden layer over training spectra, by shard, whichever process has which.

    Pixels are masked at random, as in training: a spectrum with a few masked pixels is none of another kind.
    """
    shards = range(min(store.layout.shards, -(-_FEATURE_ROWS // store.layout.shard_rows)))
    own: dict[int, FeatureMoments] = {}
    for shard in shards[ranks.rank :: ranks.world]:
        batches = RankData(store, trained_on.scale, [shard], device=ranks.device).in_order(batch_size)
        for batch in batches:
            found = FeatureMoments.of(network.hidden(mask.train(batch.flux.float(), batch.rows, 0)))
            own[shard] = own[shard].merge(found) if shard in own else found
    everyone = {shard: moments for part in ranks.everyone(own) for shard, moments in part.items()}
    return [everyone[shard] for shard in shards]


def _write(
    folder: Path,
    store: Store,
    trained_on: TrainedOn,
    parts: list[Predicted],
    moments: list[FeatureMoments],
    log: StageLog,
) -> None:
    rows = np.concatenate([part.rows for part in parts])
    mean, variance, surprise, place = (
        np.concatenate([getattr(part, name) for part in parts])[np.argsort(rows)].astype(np.float64)
        for name in ("mean", "variance", "surprise", "place")
    )
    value, square = trained_on.scale.physical(mean, variance)
    truth = store.labels(trained_on.label_names)
    judged = Judged(value, np.sqrt(square), truth, store.column("template"))
    scores = label_scores(trained_on.label_names, judged, surprise, place)
    summary: dict[str, Any] = {
        "rows": rows.size,
        "templates": np.unique(judged.template).size,
        "valid": store.content_digest,
        "nll": float(surprise.mean()),
        "conventions": CONVENTIONS,
        "labels": scores,
    }
    write_json(folder / REPORT, summary)
    factors = {name: [scores[label][name] for label in scores] for name in ("temperature", "one_sigma_factor")}
    add_facts(folder / BEST_SO_FAR, folder / BEST, FeatureSpace.of(moments), **factors)
    (folder / BEST_SO_FAR).unlink()
    log.info(
        "member %d: NLL %.3f a label on %d validation spectra; median absolute residuals %s",
        int(folder.name),
        summary["nll"],
        rows.size,
        ", ".join(f"{of['median_absolute']:.3g} {of['unit']} ({name})" for name, of in scores.items()),
    )
