"""The run directory: private to its user, and of one experiment only."""

from pathlib import Path

from starnet_hpc.config import ExperimentConfig, resolved_yaml
from starnet_hpc.errors import StoreDamagedError, StoreMismatchError
from starnet_hpc.instruments import load_instrument, select_pixels
from starnet_hpc.stores import explain_full_disk, read_json, write_atomically, write_json


def claim(config: ExperimentConfig) -> None:
    """Create the run directory, or check that it is this experiment's; keep the resolved configuration in it.

    Raises:
        StoreMismatchError: the directory holds another experiment, or files that are none.
        StoreDamagedError: the file that says which experiment it holds cannot be read.
        ConfigError: the instrument is not known, or windows of its pixels make no sense.
    """
    select_pixels(config.network, load_instrument(config.instrument))
    folder = config.run_dir
    mark = folder / "experiment.json"
    with explain_full_disk(folder):
        if not mark.exists():
            _refuse_foreign(folder, mark)
            # Jobs are pickled in here by submitit, and a pickle that others can write is code that others can run.
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.chmod(0o700)  # an empty folder that was there may have been made with wider rights
            write_json(mark, _identity(config))
        _refuse_other(config, mark)
        text = resolved_yaml(config)
        written = folder / "config.yaml"
        if not written.exists() or written.read_text(encoding="utf-8") != text:
            write_atomically(written, lambda file: file.write(text.encode()))


def refuse_other(config: ExperimentConfig) -> None:
    """Do what `claim` does to see whose a run directory is, without creating or writing anything.

    Raises:
        StoreMismatchError, StoreDamagedError, ConfigError: as `claim`.
    """
    select_pixels(config.network, load_instrument(config.instrument))
    mark = config.run_dir / "experiment.json"
    if mark.exists():
        _refuse_other(config, mark)
    else:
        _refuse_foreign(config.run_dir, mark)


def _identity(config: ExperimentConfig) -> dict[str, object]:
    return {"name": config.name, "seed": config.seed}


def _refuse_other(config: ExperimentConfig, mark: Path) -> None:
    try:
        found = read_json(mark)
        name, seed = found["name"], found["seed"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreDamagedError(
            f"{mark} cannot be read ({type(error).__name__}: {error}); if {mark.parent} holds the experiment "
            f"{config.name!r} with seed {config.seed}, remove this one file and run the same command again"
        ) from None
    if found != _identity(config):
        raise StoreMismatchError(
            f"{mark.parent} belongs to the experiment {name!r} with seed {seed}, not to "
            f"{config.name!r} with seed {config.seed}: give this experiment a run_dir of its own"
        )


def _refuse_foreign(folder: Path, mark: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise StoreMismatchError(f"run_dir {folder} is a file; give the path of a folder")
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    foreign = sorted(name for name in names if not name.startswith("."))
    if foreign and not mark.exists():  # asked again: it may have come just now, from another job of this experiment
        shown = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        raise StoreMismatchError(
            f"run_dir {folder} holds files that are not of an experiment ({shown}); "
            f"give the path of a new or empty folder"
        )
