"""Program of test_ranks.py: take a few steps on one batch that all processes share, and save weights and gradients.

`python steps.py OUT CONFIG...`, alone or as one of several processes.
"""

import sys
from pathlib import Path

import torch

from starnet_hpc.config import ExperimentConfig, load_config
from starnet_hpc.networks import build_network
from starnet_hpc.stores import open_store
from starnet_hpc.train.data import Batch, RankData
from starnet_hpc.train.loop import Trainer
from starnet_hpc.train.masks import PixelMask
from starnet_hpc.train.ranks import Ranks, joined_ranks
from tests.support import trained_on

STEPS = 3
SEED = 11


def main(paths: list[Path], out: Path) -> None:
    torch.set_num_threads(1)
    with joined_ranks() as ranks:
        saved = {path.parent.name: steps(load_config(path), ranks) for path in paths}
        if ranks.first:
            torch.save(saved, out)
        ranks.wait()


def steps(config: ExperimentConfig, ranks: Ranks) -> dict[str, torch.Tensor]:
    known, store = trained_on(config), open_store(config.store("train"), made_by="augment")
    whole = next(RankData(store, known.scale, [0, 1], device=ranks.device).in_order(config.train.batch_size))
    mine = Batch(*(part[ranks.rank :: ranks.world] for part in (whole.flux, whole.labels, whole.rows)))
    torch.manual_seed(SEED)
    network = build_network(config.network, known.pixels, len(known.label_names))
    mask = PixelMask(SEED, 0, torch.zeros(known.pixels, dtype=torch.bool), 0.1)
    nothing = RankData(store, known.scale, [])
    trainer = Trainer(network, config.train, ranks, (nothing, nothing), mask, seed=SEED, member=0, steps=STEPS)
    trainer.span_ranks()
    network.train()
    saved = {}
    for step in range(STEPS):
        trainer._take(mine)
        saved[f"loss {step}"] = torch.tensor(trainer._stepper.look()[0].loss)
        if step == 0:
            saved |= {f"gradient {n}": p.grad.clone() for n, p in network.named_parameters() if p.grad is not None}
            saved |= {f"state {name}": value.clone() for name, value in network.state_dict().items()}
        trainer.progress.step += 1
    return saved


if __name__ == "__main__":
    main([Path(word) for word in sys.argv[2:]], Path(sys.argv[1]))
