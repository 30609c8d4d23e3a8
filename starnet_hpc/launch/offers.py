"""What a cluster offers, and whether that is enough for what the section `cluster` asks."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.config.cluster import StageResources
from starnet_hpc.errors import ConfigError, LauncherError
from starnet_hpc.launch.controller import ask, is_here
from starnet_hpc.launch.scripts import STAGES, resources_of

_GPUS = re.compile(r"gpu(?::([A-Za-z][\w.-]*))?:(\d+)")
_MB_A_GB = 1024.0
"""As Slurm counts, also in `--mem=4G`."""


@dataclass(frozen=True)
class Offer:
    """Nodes of one kind in a partition."""

    partition: str
    is_default: bool
    time: int | None
    """Longest wall time [minutes]; None: any."""
    nodes: int
    cpus: int
    mem_gb: float
    gpus: tuple[tuple[str, int], ...]
    """Type (may be empty) and number on each node."""

    def told(self) -> str:
        """Return it in words."""
        gpus = "".join(f", {count} GPUs {name}".rstrip() for name, count in self.gpus)
        limit = "any time" if self.time is None else f"{self.time} minutes at most"
        default = " (default)" if self.is_default else ""
        return f"{self.partition}{default}: {self.nodes} x {self.cpus} cores, {self.mem_gb:.0f} GB{gpus}; {limit}"


def check_cluster(config: ExperimentConfig) -> None:
    """Compare the section `cluster` with its own limits and with what Slurm says that there is.

    Raises:
        ConfigError: with every fault, and what the cluster offers.
        LauncherError: there is no Slurm here, or it does not answer.
    """
    if not is_here():
        raise LauncherError(
            "there is no Slurm here (no sbatch and squeue on PATH): use --executor local, start on a login node, or "
            "look at what would be submitted with --dry-run"
        )
    offers = offered()
    faults = [*_missing_account(config), *faults_of(config, offers)]
    if faults:
        listed = "\n".join(f"  {offer.told()}" for offer in offers) or "  (sinfo shows no partition)"
        raise ConfigError("\n".join(faults) + f"\nthe partitions here (sinfo):\n{listed}")


def faults_of(config: ExperimentConfig, offers: Sequence[Offer]) -> list[str]:
    """Return what the jobs of the chain ask for and do not get."""
    found = []
    for stage in STAGES:
        asked = resources_of(config, stage)
        partition = asked.partition or os.environ.get("SBATCH_PARTITION")
        inside = [offer for offer in offers if partition in {None, offer.partition}]
        if not inside and offers:
            found.append(f"cluster: {stage}: there is no partition {partition!r}")
            continue
        beyond = [*_beyond_profile(config, asked)]
        if not beyond and inside and not any(_fits(config, asked, offer) for offer in inside):
            where = f"partition {partition}" if partition else "the cluster"
            beyond = [f"which no node of {where} offers"]
        found += [f"cluster: {stage} asks for {_told(config, asked)}: {fault}" for fault in beyond]
    return found


def offered() -> list[Offer]:
    """Return what sinfo shows.

    Raises:
        LauncherError: the controller does not answer.
    """
    said = ask("sinfo", "--noheader", "--format=%P|%l|%D|%c|%m|%G", transient=lambda _: True)
    rows = (line.split("|") for line in said.splitlines())
    return [_offer(row) for row in rows if len(row) == 6]


def _offer(row: Sequence[str]) -> Offer:
    name, limit, nodes, cpus, memory, gres = (cell.strip() for cell in row)
    gpus = tuple((kind, int(count)) for kind, count in _GPUS.findall(gres))
    return Offer(
        name.rstrip("*"), name.endswith("*"), minutes_of(limit), _first_number(nodes), _first_number(cpus),
        _first_number(memory) / _MB_A_GB, gpus,
    )  # fmt: skip


def minutes_of(limit: str) -> int | None:
    """Return a time as Slurm writes it (`1-00:00:00`, `30:00`) in minutes; None where there is no limit."""
    days, _, rest = limit.rpartition("-")
    parts = rest.split(":")
    if not all(part.isdigit() for part in (*parts, days or "0")):
        return None  # infinite, n/a
    hours, minutes, _ = ([0] * (3 - len(parts)) + [int(part) for part in parts])[:3]
    return int(days or 0) * 1440 + hours * 60 + minutes


def _first_number(text: str) -> int:
    return int(found[0]) if (found := re.match(r"\d+", text)) else 0  # `64+`: that many, and on some nodes more


def _missing_account(config: ExperimentConfig) -> list[str]:
    given = config.cluster.account or os.environ.get("SBATCH_ACCOUNT")
    if given or not config.cluster.needs_account:
        return []
    try:
        said = ask(
            "sacctmgr", "--noheader", "--parsable2", "show", "assoc", f"user={_user()}", "format=account", patient=False
        )
    except LauncherError:
        said = ""
    known = ", ".join(dict.fromkeys(said.split()))
    return [f"cluster.account: must be given on this cluster{f'; yours are {known}' if known else ''}"]


def _user() -> str:
    import getpass

    return getpass.getuser()


def _beyond_profile(config: ExperimentConfig, asked: StageResources) -> Iterator[str]:
    cluster, cpus = config.cluster, _cpus(asked)
    if cluster.node_cpus is not None and cpus > cluster.node_cpus:
        yield f"{cpus} cores a node, of which it has {cluster.node_cpus} (cluster.node_cpus)"
    if cluster.node_gpus is not None and asked.gpus_per_node > cluster.node_gpus:
        yield f"{asked.gpus_per_node} GPUs a node, of which it has {cluster.node_gpus} (cluster.node_gpus)"
    if cluster.node_mem_gb is not None and (asked.mem_gb or 0) > cluster.node_mem_gb:
        yield f"{asked.mem_gb:g} GB a node, which has {cluster.node_mem_gb:g} (cluster.node_mem_gb)"


def _fits(config: ExperimentConfig, asked: StageResources, offer: Offer) -> bool:
    kind = config.cluster.gpu_type
    gpus = max((count for name, count in offer.gpus if kind in {None, name}), default=0)
    return (
        offer.nodes >= asked.nodes
        and offer.cpus >= _cpus(asked)
        and gpus >= asked.gpus_per_node
        and (offer.time is None or (asked.time or 0) <= offer.time)
        and (asked.mem_gb or 0) <= offer.mem_gb
    )


def _cpus(asked: StageResources) -> int:
    return (asked.tasks_per_node or 1) * (asked.cpus_per_task or 1)


def _told(config: ExperimentConfig, asked: StageResources) -> str:
    gpus = f", {asked.gpus_per_node} GPUs {config.cluster.gpu_type or ''}".rstrip() if asked.gpus_per_node else ""
    memory = f", {asked.mem_gb:g} GB" if asked.mem_gb else ""
    return f"{asked.nodes} x {_cpus(asked)} cores{memory}{gpus} for {asked.time} minutes"
