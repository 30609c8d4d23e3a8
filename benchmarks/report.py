"""Catalogues of 100,000 test spectra and as many survey stars to the full report: time and peak memory.

    python -m benchmarks.report [--rows 100000] [--templates 5000] [--pixels 256] [--folder DIRECTORY]

The run is made up as in the tests: predictions are truth plus Gaussian errors of known sigma, stores have few pixels,
since `evaluate` reads columns of them; fluxes only of the 1,000 stars, their partners and these ones' templates that
the synthetic gap is measured with. The report, the same again (figures are there already) and, of two such runs, the
page that holds them side by side are timed, each in a process of its own.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from starnet_hpc.config import resolved_yaml
from starnet_hpc.stores import write_json
from tests.evaluate.fake_run import Recipe, build_run
from tests.evaluate.test_grids import scattered, write_grid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="test spectra, and survey stars (default 100000)")
    parser.add_argument("--templates", type=int, default=5000, help="of the test spectra (default 5000)")
    parser.add_argument("--pixels", type=int, default=256, help="of every spectrum in the stores (default 256)")
    parser.add_argument("--folder", type=Path, help="where to write; by default the system's temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        runs = [Path(folder) / name for name in ("first", "second")]
        begun = time.perf_counter()
        for run, worse in zip(runs, (1.0, 1.3), strict=True):
            make(run, options, worse)
        print(f"made two runs of {options.rows:,} + {options.rows:,} rows in {time.perf_counter() - begun:.1f} s")
        measure("report of one run", runs[:1])
        measure("the same again", runs[:1])
        measure("two runs side by side", runs)


def make(run_dir: Path, options: argparse.Namespace, worse: float) -> None:
    """Write a run with its catalogues."""
    recipe = Recipe(
        n_test=options.rows,
        templates=options.templates,
        n_survey=options.rows,
        worse=dict.fromkeys(("teff", "feh"), worse),
        wavelength=(5150.0, 5200.0, options.pixels),
    )
    config = build_run(run_dir, recipe, name=run_dir.name)
    write_grid(config.store("grid"), scattered(options.templates))
    write_json(run_dir / "experiment.json", {"name": config.name, "seed": config.seed})
    (run_dir / "config.yaml").write_text(resolved_yaml(config), encoding="utf-8")


def measure(what: str, runs: list[Path]) -> None:
    """Print the time of `starnet-hpc evaluate`, from start to end of the process, and its peak memory."""
    command = [sys.executable, "-m", "starnet_hpc", "evaluate", *map(str, runs)]
    begun = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    took = time.perf_counter() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(said)
    print(f"{what}: {took:.1f} s, of which {cpu(used):.1f} s of CPU; at most {used.ru_maxrss / 1024**2:.2f} GB")


def cpu(used: resource.struct_rusage) -> float:
    """Return the CPU time of a process that has ended [s]."""
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
