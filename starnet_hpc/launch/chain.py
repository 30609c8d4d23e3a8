"""Run: all stages in order. Each skips what is done, so a rerun goes on where the last one stopped."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from starnet_hpc.augment import augment
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import PredictionError
from starnet_hpc.evaluate import evaluate
from starnet_hpc.ingest import ingest
from starnet_hpc.launch.ensemble import train_ensemble
from starnet_hpc.launch.rundir import claim
from starnet_hpc.logfiles import last_words
from starnet_hpc.observe import observe
from starnet_hpc.predict import predict
from starnet_hpc.progress import stage_log


def run_chain(config: ExperimentConfig, executor: str | None = None) -> Path:
    """Run observe (if there is a survey), ingest, augment, ensemble, predict and evaluate; return the report.

    Args:
        config: of the experiment.
        executor: of the ensemble; by default the configuration's.
    """
    claim(config)
    if config.survey is not None:
        observe(config)  # needs nothing of the others: what is wrong with a survey is told before hours of training
    ingest(config)
    augment(config)
    train_ensemble(config, executor)
    predict_in_parallel(config)
    return evaluate(config)


def predict_in_parallel(config: ExperimentConfig) -> None:
    """Predict under mpiexec with `cluster.predict_ranks` ranks, or in this process where there is no mpiexec.

    Raises:
        PredictionError: the ranks did not finish; they have said why.
    """
    ranks, mpiexec = config.cluster.predict_ranks, find_mpiexec()
    if ranks == 1 or mpiexec is None:
        with stage_log("predict", config.run_dir) as log:
            log.info("one process%s", "" if ranks == 1 else ": there is no mpiexec (install the extra `mpich`)")
        predict(config)
        return
    claim(config)  # the ranks read the configuration that lies in the run directory: it must be this one
    command = [
        mpiexec,
        "-n",
        str(ranks),
        sys.executable,
        "-m",
        "starnet_hpc.predict",
        str(config.run_dir / "config.yaml"),
    ]
    began = time.time()
    code = subprocess.run(command, check=False, env=_clean_environment()).returncode
    if code != 0:
        said = "".join(f"\n    {line}" for line in last_words(config.run_dir / "logs", "predict", began))
        raise PredictionError(
            f"the prediction ended with exit code {code}; its first rank's words stand above. "
            f"It ran: {' '.join(command)}{said}"
        )


def find_mpiexec() -> str | None:
    """Return the mpiexec beside this Python (the mpich wheel's), or the one on PATH."""
    beside = Path(sys.executable).parent / "mpiexec"
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def _clean_environment() -> dict[str, str]:
    """Return the environment without another launcher's ranks: mpiexec announces its own."""
    foreign = ("PMI_", "PMIX_", "OMPI_", "SLURM_STEP")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
