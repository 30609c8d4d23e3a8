"""Quickstart: the whole job on a real but small grid that ships with the package, in a few minutes."""

import csv
import io
import json
import shutil
import time
from importlib.resources import files
from pathlib import Path

import numpy as np

from starnet_hpc.augment import augment
from starnet_hpc.augment.simulate import simulate_survey
from starnet_hpc.config import ExperimentConfig, load_config
from starnet_hpc.errors import StoreMismatchError
from starnet_hpc.grids import TemplateSpectrum, write_intrigoss
from starnet_hpc.ingest import ingest
from starnet_hpc.launch.chain import run_chain
from starnet_hpc.launch.ensemble import train_ensemble
from starnet_hpc.launch.rundir import claim
from starnet_hpc.observations import write_eso_sdp
from starnet_hpc.progress import StageLog, stage_log
from starnet_hpc.stores import write_atomically

_PACKAGED = files("starnet_hpc.launch") / "quickstart_data"
_MARK = ".starnet-quickstart"
_SURVEY_ROWS = 2000
_SMALL = (
    "augment.n_train=1024", "augment.n_valid=128", "augment.n_test=256", "augment.shard_rows=128", "train.epochs=2",
)  # fmt: skip
_SMALL_SURVEY_ROWS = 64


def quickstart(folder: Path, *, small: bool = False) -> Path:
    """Run the whole job in a folder and return its report.

    The folder gets `grid/` (synthetic spectra as INTRIGOSS files), `survey/` (2,000 simulated observations of held-out
    templates as ESO files), `quickstart.yaml` (a configuration to copy from) and `run/` (all that the stages write).

    Args:
        folder: new, empty, or of an earlier quickstart, which is then continued.
        small: a few seconds' worth: it shows that everything works, not how well.
    """
    start = time.monotonic()
    _claim_folder(folder)
    config = _configuration(folder, small)
    claim(config)
    with stage_log("quickstart", config.run_dir) as log:
        _write_grid(folder / "grid", log)
        ingest(config)
        _write_survey(config, folder / "survey", _SMALL_SURVEY_ROWS if small else _SURVEY_ROWS, log)
        augment(config)
        _train_one_in_parallel(config)
        report = run_chain(config)
        log.info("done in %.0f s", time.monotonic() - start)
        log.info("catalogue: %s", config.catalogue("survey"))
        log.info("report:    %s", report)
    return report


def _claim_folder(folder: Path) -> None:
    """Create the folder, or check that it is an earlier quickstart's: files of others are never touched.

    Raises:
        StoreMismatchError: the folder holds something else.
    """
    mark = folder / _MARK
    if folder.is_file() or (folder.is_dir() and not mark.exists() and any(folder.iterdir())):
        raise StoreMismatchError(f"{folder} holds files that are not of a quickstart; give --run-dir a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    mark.touch()


def _configuration(folder: Path, small: bool) -> ExperimentConfig:
    path = folder / "quickstart.yaml"
    text = (_PACKAGED / "quickstart.yaml").read_text(encoding="utf-8")
    text = text.replace("FOLDER", json.dumps(str(folder), ensure_ascii=False)[1:-1])  # inside double quotes
    write_atomically(path, lambda file: file.write(text.encode()))
    return load_config(path, _SMALL if small else ())


def _train_one_in_parallel(config: ExperimentConfig) -> None:
    """Train the first member by two processes, to show data-parallel training; on two cores one process is faster."""
    pair = config.train.model_copy(update={"gpus_per_node": 2})
    train_ensemble(config.model_copy(update={"train": pair}), members=[0])


def _write_grid(folder: Path, log: StageLog) -> None:
    """Unpack the shipped slice of the reference grid into INTRIGOSS files, unless they are there."""
    done = folder.parent / ".grid-complete"
    if done.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with (_PACKAGED / "grid.npz").open("rb") as file, np.load(file) as data:
        wavelength = data["wavelength"]
        normalised = data["flux"].astype(np.float32) / np.float32(65535.0)
        nodes = wavelength[:: int(data["continuum_every"])]
        labels, continuum = data["labels"], data["continuum"]
    with log.bar("grid: INTRIGOSS files", labels.shape[0], "files") as bar:
        for (teff, logg, feh, afe, vmicro), spectrum, levels in zip(labels, normalised, continuum, strict=True):
            true = np.interp(wavelength, nodes, levels).astype(np.float32)
            named = {"teff": float(teff), "logg": float(logg), "feh": float(feh), "afe": float(afe)}
            extra = {"vmicro": float(vmicro)}
            write_intrigoss(
                folder, TemplateSpectrum(wavelength, spectrum * true, named, "quickstart", extra, continuum=true)
            )
            bar.advance(1)
    done.touch()


def _write_survey(config: ExperimentConfig, folder: Path, count: int, log: StageLog) -> None:
    """Write simulated observations as ESO files with a manifest of their true labels, unless they are there."""
    manifest = folder / "manifest.csv"
    if manifest.exists():
        return
    folder.mkdir(exist_ok=True)
    rows: list[dict[str, str]] = []
    with log.bar("survey: simulated ESO files", count, "files") as bar:
        for number, star in enumerate(simulate_survey(config, count)):
            name = f"SIM{number:05d}"
            write_eso_sdp(
                folder / f"{name}.fits", star.wavelength, star.flux, error=star.error, snr=star.snr, object_name=name
            )
            rows.append({"id": name, "path": f"{name}.fits", **{k: f"{v:.6g}" for k, v in star.labels.items()}})
            bar.advance(1)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(manifest, lambda file: file.write(text.getvalue().encode()))
