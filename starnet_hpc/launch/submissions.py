"""Which jobs were submitted for what: noted in files, so that a rerun knows of those that still wait or run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from starnet_hpc.stores import read_json, write_json

_MEMBERS = "members.json"
_CHAIN = "chain.json"


@dataclass(frozen=True)
class Submission:
    """A member's last job, as `ensemble` has submitted it."""

    job: str
    """Slurm's number: `12`, or `12_0` in an array."""
    processes: int
    recipe: str
    """Digest of what the member is a function of."""


@dataclass(frozen=True)
class ChainJob:
    """The last job of a stage, or of a member, as `run` has submitted it."""

    stage: str
    member: int | None
    job: str | None
    """Slurm's number; None: the command ended before it knew."""
    token: str
    """Comment by which Slurm knows it, even if its number was lost."""
    recipe: str
    """Digest of the configuration."""
    after: tuple[str, ...]
    """Jobs that it waits for."""
    log: str
    submitted: str
    """When (UTC)."""

    @property
    def key(self) -> str:
        """Name of what it does: a stage, or `members/3`."""
        return self.stage if self.member is None else f"{self.stage}/{self.member}"


def noted(folder: Path) -> dict[int, Submission]:
    """Return the last submission of each member, from the folder of the jobs; a file that cannot be read has none."""
    try:
        return {int(member): Submission(**facts) for member, facts in read_json(folder / _MEMBERS).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def note(folder: Path, made: Mapping[int, Submission]) -> None:
    """Add these submissions, in place of older ones of the same members."""
    everything = {**noted(folder), **made}
    write_json(folder / _MEMBERS, {str(member): asdict(one) for member, one in sorted(everything.items())})


def noted_chain(folder: Path) -> dict[str, ChainJob]:
    """Return the last job of each stage and member that `run` submitted; a file that cannot be read has none."""
    try:
        jobs = [ChainJob(**{**facts, "after": tuple(facts["after"])}) for facts in read_json(folder / _CHAIN)]
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    return {job.key: job for job in jobs}


def note_chain(folder: Path, *jobs: ChainJob) -> None:
    """Add these jobs, in place of older ones for the same."""
    everything = noted_chain(folder) | {job.key: job for job in jobs}
    write_json(folder / _CHAIN, [asdict(job) for job in everything.values()])
