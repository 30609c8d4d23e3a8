"""The section that says how jobs are started on a cluster."""

from typing import Annotated

from pydantic import Field

from starnet_hpc.config.base import Section


class ClusterConfig(Section):
    """What Slurm is asked for (`ensemble.executor: slurm`, `augment.scheduler: slurm`)."""

    partition: str | None = None
    """Partition; by default the cluster's own default."""
    account: str | None = None
    """Account that is charged."""
    time: Annotated[int, Field(ge=1)] = 120
    """Wall time of a job [minutes]; an interrupted member goes on in the next job, Dask workers are replaced."""
    gpus: bool = True
    """Ask for one GPU a process when training; false trains on CPUs."""
    cpus_per_task: Annotated[int, Field(ge=1)] = 4
    """Cores of each process of a member; workers (one a core) in each job of `augment.scheduler: slurm`."""
    mem_gb: Annotated[float, Field(gt=0)] | None = None
    """Memory a node [GB]."""
    setup: tuple[str, ...] = ()
    """Shell lines before each job's command (module load ..., source .../activate)."""
    predict_ranks: Annotated[int, Field(ge=1)] = 2
    """MPI ranks of the prediction started by `run`."""
    signal_delay_s: Annotated[int, Field(ge=1)] = 120
    """Seconds before the wall time at which a job is told to save and leave."""
    queue_minutes: Annotated[float, Field(gt=0)] = 120.0
    """With `augment.scheduler: slurm`: how long to wait in the queue for a worker [minutes]."""
    interface: str | None = None
    """With `augment.scheduler: slurm` or `mpi`: the network interface (ib0) by which workers reach the scheduler;
    by default the one that leads out of its machine."""
    extra: dict[str, str | int] = Field(default_factory=dict)
    """Further sbatch options, long names without dashes (qos: regular, constraint: gpu)."""
