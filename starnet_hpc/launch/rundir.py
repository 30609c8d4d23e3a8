"""The run directory: private to its user, and of one experiment only."""

import os
from pathlib import Path

from starnet_hpc.config import ExperimentConfig, resolved_yaml
from starnet_hpc.errors import StoreMismatchError
from starnet_hpc.instruments import load_instrument
from starnet_hpc.stores import explain_full_disk, read_json, write_atomically, write_json


def claim(config: ExperimentConfig) -> None:
    """Create the run directory, or check that it is this experiment's; keep the resolved configuration in it.

    Raises:
        StoreMismatchError: the directory holds another experiment, or files that are none.
        ConfigError: the instrument is not known.
    """
    load_instrument(config.instrument)
    folder = config.run_dir
    identity = {"name": config.name, "seed": config.seed}
    mark = folder / "experiment.json"
    with explain_full_disk(folder):
        if mark.exists():
            found = read_json(mark)
            if found != identity:
                raise StoreMismatchError(
                    f"{folder} belongs to the experiment {found.get('name')!r} with seed {found.get('seed')}, not to "
                    f"{config.name!r} with seed {config.seed}: give this experiment a run_dir of its own"
                )
        else:
            _refuse_foreign(folder)
            # Jobs are pickled in here by submitit, and a pickle that others can write is code that others can run.
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_json(mark, identity)
        text = resolved_yaml(config)
        written = folder / "config.yaml"
        if not written.exists() or written.read_text(encoding="utf-8") != text:
            write_atomically(written, lambda file: file.write(text.encode()))


def _refuse_foreign(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise StoreMismatchError(f"run_dir {folder} is a file; give the path of a folder")
    if folder.is_dir() and any(not name.startswith(".") for name in os.listdir(folder)):
        raise StoreMismatchError(
            f"run_dir {folder} holds files that are not of an experiment; give the path of a new or empty folder"
        )
