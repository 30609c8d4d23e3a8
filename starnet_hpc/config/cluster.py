"""The section that says how jobs are started on a cluster, and the profiles of clusters that it may begin with."""

import difflib
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from starnet_hpc.config.base import Section, UserPath, expanded

SHIPPED = Path(__file__).parent / "clusters"
"""Profiles that come with the package; `configs/clusters` of the repository is a link to them."""


class StageResources(Section):
    """What the job of one stage asks for; what is left out is as in `cluster`."""

    nodes: Annotated[int, Field(ge=1)] = 1
    """Nodes."""
    tasks_per_node: Annotated[int, Field(ge=1)] | None = None
    """Processes on each node."""
    cpus_per_task: Annotated[int, Field(ge=1)] | None = None
    """Cores of each process."""
    gpus_per_node: Annotated[int, Field(ge=0)] = 0
    """GPUs on each node."""
    time: Annotated[int, Field(ge=1)] | None = None
    """Wall time [minutes]."""
    mem_gb: Annotated[float, Field(gt=0)] | None = None
    """Memory a node [GB]."""
    partition: str | None = None
    """Partition."""
    extra: dict[str, str | int] = Field(default_factory=dict)
    """Further sbatch options, in place of the same ones of `cluster.extra`."""


class ClusterConfig(Section):
    """What Slurm is asked for (`run` and `ensemble` with the executor `slurm`, `augment.scheduler: slurm`)."""

    profile: str | None = None
    """A cluster whose values are the defaults of this section: a name that comes with the package (`generic`, `narval`,
    `fir`, `perlmutter`, `single_node`), or the path of a YAML file."""
    partition: str | None = None
    """Partition; by default the cluster's own default."""
    account: str | None = None
    """Account that is charged."""
    needs_account: bool = False
    """Whether jobs without an account are refused before they are submitted."""
    time: Annotated[int, Field(ge=1)] = 120
    """Wall time of a job [minutes]; an interrupted job goes on in its next life, Dask workers are replaced."""
    time_min: Annotated[int, Field(ge=1)] | None = None
    """The shortest wall time that the cluster wants to see [minutes]."""
    time_max: Annotated[int, Field(ge=1)] | None = None
    """The longest wall time that the cluster allows [minutes]."""
    gpus: bool = True
    """Ask for one GPU a process when training; false trains on CPUs."""
    gpu_type: str | None = None
    """What the cluster calls its GPUs, where it wants to be told (`--gpus-per-node=a100:4`)."""
    node_gpus: Annotated[int, Field(ge=0)] | None = None
    """GPUs that a node has."""
    node_cpus: Annotated[int, Field(ge=1)] | None = None
    """Cores that a node has; the largest, if nodes differ."""
    node_mem_gb: Annotated[float, Field(gt=0)] | None = None
    """Memory that jobs can use on a node [GB]; the largest, if nodes differ."""
    cpus_per_task: Annotated[int, Field(ge=1)] = 4
    """Cores of each process of a member; workers (one a core) in each job of `augment.scheduler: slurm`."""
    mem_gb: Annotated[float, Field(gt=0)] | None = None
    """Memory a node [GB]."""
    setup: tuple[str, ...] = ()
    """Shell lines before each job's command (module load ..., source .../activate)."""
    mpi: str | None = "pmi2"
    """What `srun --mpi=` is given: pmi2 for MPICH, also the wheel, pmix for Open MPI; null: the cluster's default."""
    predict_ranks: Annotated[int, Field(ge=1)] = 2
    """MPI ranks of the prediction started by `run` on one machine, or on each node of `cluster.predict`."""
    prepare: StageResources = StageResources()
    """Job of `ingest` and `augment` that `run` submits: `cpus_per_task` workers on one node, or on several nodes
    `tasks_per_node` MPI ranks each."""
    predict: StageResources = StageResources()
    """Job of `predict` that `run` submits; `tasks_per_node` is `predict_ranks` unless told."""
    evaluate: StageResources = StageResources()
    """Job of `evaluate` that `run` submits."""
    signal_delay_s: Annotated[int, Field(ge=1)] = 120
    """Seconds before the wall time at which a job is told to save and leave."""
    queue_minutes: Annotated[float, Field(gt=0)] = 120.0
    """With `augment.scheduler: slurm`: how long to wait in the queue for a worker [minutes]."""
    interface: str | None = None
    """With `augment.scheduler: slurm` or `mpi`: the network interface (ib0) by which workers reach the scheduler;
    by default the one that leads out of its machine."""
    extra: dict[str, str | int] = Field(default_factory=dict)
    """Further sbatch options, long names without dashes (qos: regular, constraint: gpu)."""
    scratch: UserPath | None = None
    """Where the cluster wants large files; `plan` warns of a `run_dir` elsewhere."""
    quota_gb: Annotated[float, Field(gt=0)] | None = None
    """What the user may keep there [GB]; `plan` warns beyond it."""
    quota_files: Annotated[int, Field(ge=1)] | None = None
    """Files and folders that the user may keep there; `plan` warns beyond it."""

    @model_validator(mode="before")
    @classmethod
    def _begin_with_profile(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("profile"), str):
            return data
        own = dict(data)
        path = _profile_path(own["profile"])
        if path.suffix in {".yaml", ".yml"} and path.parent != SHIPPED:
            own["profile"] = str(path)
        profile = _values_of(path)
        _path_of_unset_variable_is_none(profile)
        merged = {**profile, **own}
        for name in ("extra", "prepare", "predict", "evaluate"):
            if isinstance(profile.get(name), dict) and isinstance(own.get(name), dict):
                merged[name] = {**profile[name], **own[name]}
        return merged

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        for name, asked in self.wall_times().items():
            if self.time_max is not None and asked > self.time_max:
                raise ValueError(f"{name} {asked} is more than the {self.time_max} minutes that this cluster allows")
        return self

    def wall_times(self) -> dict[str, int]:
        """Return the wall time of each kind of job [minutes], by the key that says it."""
        stages = {name: getattr(self, name).time for name in ("prepare", "predict", "evaluate")}
        return {"time": self.time} | {f"{name}.time": time for name, time in stages.items() if time is not None}


def shipped_clusters() -> list[str]:
    """Return the names of the clusters whose profiles come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def _profile_path(choice: str) -> Path:
    if choice.endswith((".yaml", ".yml")):
        return Path(str(expanded(choice)))
    names = shipped_clusters()
    if choice not in names:
        near = difflib.get_close_matches(choice, names, n=1)
        advice = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"no profile {choice!r} among {', '.join(names)}, and no path of a YAML file{advice}")
    return SHIPPED / f"{choice}.yaml"


def _values_of(path: Path) -> dict[str, Any]:
    from starnet_hpc.config.load import read_yaml  # it imports the whole configuration, and so this section

    values = read_yaml(path)  # ConfigError is a ValueError, which pydantic shows with the key
    unknown = sorted(set(values) - set(ClusterConfig.model_fields) - {"description"})
    if unknown or "profile" in values:
        raise ValueError(f"{path}: {', '.join(unknown or ['profile'])}: not a key of a cluster's profile")
    values.pop("description", None)
    return values


def _path_of_unset_variable_is_none(profile: dict[str, Any]) -> None:
    """Leave `scratch: $SCRATCH` out where there is no such variable: on a laptop that only plans, say."""
    try:
        expanded(profile.get("scratch"))
    except ValueError:
        profile["scratch"] = None
