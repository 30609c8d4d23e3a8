"""Which members were submitted as which Slurm jobs: noted in a file, so that a rerun knows of those that still run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from starnet_hpc.stores import read_json, write_json

_FILE = "members.json"


@dataclass(frozen=True)
class Submission:
    """A member's last job."""

    job: str
    """Slurm's number: `12`, or `12_0` in an array."""
    processes: int
    recipe: str
    """Digest of what the member is a function of."""


def noted(folder: Path) -> dict[int, Submission]:
    """Return the last submission of each member, from the folder of the jobs; a file that cannot be read has none."""
    try:
        return {int(member): Submission(**facts) for member, facts in read_json(folder / _FILE).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def note(folder: Path, made: Mapping[int, Submission]) -> None:
    """Add these submissions, in place of older ones of the same members."""
    everything = {**noted(folder), **made}
    write_json(folder / _FILE, {str(member): asdict(one) for member, one in sorted(everything.items())})
