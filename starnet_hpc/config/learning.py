"""Sections that say what is trained and how: network, train, ensemble."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from starnet_hpc.config.base import Section, UserPath
from starnet_hpc.config.spectra import UserWindows
from starnet_hpc.labels import LABELS, ordered


def _labels(names: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [name for name in names if not ordered([name])]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no label; labels are {', '.join(LABELS)}, and abundances such as mg_fe")
    return ordered(names)


class NetworkConfig(Section):
    """The network of every member."""

    kind: Literal["resnet", "starnet"] = "resnet"
    """`resnet`: compact and residual, the default; `starnet`: the paper's two convolutions and two dense layers."""
    channels: Annotated[tuple[int, ...], Field(min_length=1)] = (32, 64, 64, 128)
    """Filters of each stage, which halves the pixels (resnet only)."""
    dense: Annotated[int, Field(ge=8)] = 256
    """Nodes of the last hidden layer (resnet only)."""
    mask_channel: bool = False
    """Whether the network is told which pixels are masked (0) by a second input, 1 there and 0 elsewhere."""
    ignore: UserWindows = ()
    """Pixels inside of these windows [angstrom, air] are masked in every spectrum, because models are wrong there, say:
    [low, high] each, or the path of a list (lower and upper edge a line)."""
    only: UserWindows = ()
    """The network is given the pixels inside of these windows and no others (lines of one element, say): [low, high]
    each, or the path of a list. By default all pixels."""
    head: Literal["gaussian", "mixture"] = "gaussian"
    """What is predicted of each label: a Gaussian, or a mixture of several, whose mean and variance are catalogued."""
    components: Annotated[int, Field(ge=1, le=100)] = 3
    """Gaussians of a label's mixture (head `mixture` only)."""
    variance_floor: Annotated[float, Field(gt=0)] = 1e-6
    """Smallest variance of a standardised label that the network may claim, in a mixture for each Gaussian."""


class TrainConfig(Section):
    """Training of one member by data-parallel processes (stage `train`)."""

    epochs: Annotated[int, Field(ge=1)] = 20
    """Passes over the training store."""
    batch_size: Annotated[int, Field(ge=2)] = 64
    """Spectra a step, over all processes together."""
    residency: Literal["auto", "device", "host", "stream"] = "auto"
    """Where the spectra lie: on the GPU, in memory, or on the disk, from where they are read ahead; `auto`: the first
    of these that has room. Batches are the same."""
    shuffle_shards: Annotated[int, Field(ge=1)] = 16
    """Shards whose spectra are shuffled among each other; more mix better, and take more memory where data are streamed
    (two such windows: 1.3 GB at 39,436 pixels of 16 bits and 512 spectra a shard)."""
    labels: Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_labels)] | None = None
    """Labels to learn and to predict; by default all that the spectra have."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 2e-3
    """Largest learning rate of the schedule."""
    schedule: Literal["onecycle", "cosine", "plateau", "constant"] = "onecycle"
    """`onecycle`: warm up for 30 % of the steps, then anneal to nothing; `cosine`: the same, warming up for
    `warmup_epochs`; `plateau`: halve after `plateau_patience` flat epochs; `constant`: the largest one all the time."""
    warmup_epochs: Annotated[float, Field(ge=0)] = 1.0
    """Epochs in which the learning rate rises to its largest value (schedule `cosine`)."""
    optimizer: Literal["adamw", "adam"] = "adamw"
    """Which optimiser takes the steps."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Decoupled weight decay (adamw only)."""
    plateau_patience: Annotated[int, Field(ge=1)] = 3
    """Epochs without a better validation loss before the learning rate is halved (schedule `plateau`)."""
    stop_patience: Annotated[int, Field(ge=1)] | None = None
    """Epochs without a better validation loss before training ends, with any schedule; null: all epochs are trained."""
    beta_nll: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Each term of the training loss is weighted with variance^beta_nll (Seitzer et al. 2022; 0: eq. 1 of the paper).
    The validation loss is eq. 1 always."""
    clip_gradient: Annotated[float, Field(gt=0)] | None = 10.0
    """Largest norm of the gradient; null switches clipping off."""
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Keep a running average of the weights, and validate and save that: its decay a step; null: no average."""
    init_from: UserPath | None = None
    """Begin with the weights of a trained member instead of drawn ones: a `best.pt` for all members, or the folder
    `members/` of another run, whose member k is for member k. Layers that do not fit begin anew."""
    freeze: tuple[str, ...] = ()
    """Patterns (`stem.*`) of names of parameters that stay as they are in `init_from`, with the statistics of their
    layers."""
    nodes: Annotated[int, Field(ge=1)] = 1
    """Nodes that train one member together."""
    gpus_per_node: Annotated[int, Field(ge=1)] = 1
    """Processes a node, one GPU each where there are GPUs."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the forward and backward pass; weights stay float32. float16 is for GPUs only."""
    threads: Annotated[int, Field(ge=1)] | None = None
    """CPU threads a process; by default the job's cores shared among its processes."""
    checkpoint_minutes: Annotated[float, Field(gt=0)] = 10.0
    """Time between checkpoints inside an epoch; there is one after each epoch, too."""
    tensorboard: bool = False
    """Write the history for TensorBoard, too, into `members/KK/tensorboard` (extra `tensorboard`)."""

    @model_validator(mode="after")
    def _check_batch(self) -> Self:
        if self.batch_size % (self.nodes * self.gpus_per_node):
            raise ValueError(
                f"batch_size {self.batch_size} cannot be shared equally by nodes x gpus_per_node = "
                f"{self.nodes} x {self.gpus_per_node} processes: choose a multiple of {self.nodes * self.gpus_per_node}"
            )
        return self

    @model_validator(mode="after")
    def _check_warm_up(self) -> Self:
        if self.schedule == "cosine" and self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs {self.warmup_epochs:g} leaves nothing of epochs {self.epochs} to come down in: lower it"
            )
        return self

    @model_validator(mode="after")
    def _check_freeze(self) -> Self:
        if self.freeze and self.init_from is None:
            raise ValueError("freeze would keep weights as they were drawn: give init_from, too, or leave freeze out")
        return self


class EnsembleConfig(Section):
    """The deep ensemble (command `ensemble`)."""

    members: Annotated[int, Field(ge=1, le=1000)] = 5
    """Networks with a start, an order of the data and a seed of their own (the paper: 5 to 7)."""
    executor: Literal["local", "slurm", "debug"] = "local"
    """Where members train: processes on this machine, Slurm jobs, or one after the other in this process."""
    parallel: Annotated[int, Field(ge=1)] = 1
    """Members that train at the same time on this machine (executor `local`)."""
    retries: Annotated[int, Field(ge=0)] = 2
    """How often a member is submitted again by itself after one of its processes or machines was lost; what says why it
    fails (a configuration, spectra, a loss that is not finite) is not."""
