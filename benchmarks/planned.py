"""What `starnet-hpc plan` says beforehand, and what each stage then takes.

    python -m benchmarks.planned CONFIG [--set KEY=VALUE ...]

CONFIG's run directory must not be there yet; everything is made. Stages run one after the other, each a command of its
own. CPU time is the measure: on a machine that does other things too, wall time says little. Bytes are those of stores.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from starnet_hpc.config import load_config
from starnet_hpc.stores import footprint

STAGES = ("observe", "ingest", "augment", "ensemble", "predict", "evaluate")
STORES = ("survey", "grid", "train", "valid", "test")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as for starnet-hpc")
    options = parser.parse_args()
    settings = [*options.set, "cluster.predict_ranks=1"]
    config = load_config(options.config, settings)
    if config.run_dir.exists():
        raise SystemExit(f"{config.run_dir} is there already: a plan is of what is left to do")
    said = [
        str(options.config),
        *(word for one in (*options.set, "cluster.predict_ranks=1") for word in ("--set", one)),
    ]
    told = subprocess.run(
        [sys.executable, "-m", "starnet_hpc", "plan", *said, "--json"], check=True, stdout=subprocess.PIPE
    )
    planned = json.loads(told.stdout)
    found = planned["stages"] | planned["learning"]
    print(f"{'stage':10}{'planned CPU [s]':>18}{'taken [s]':>12}{'ratio':>8}{'planned wall [s]':>19}{'taken [s]':>12}")
    sums = [0.0, 0.0]
    for stage in STAGES:
        if stage not in found:
            continue
        begun = time.perf_counter()
        cpu = run(stage, said)
        wall = time.perf_counter() - begun
        expected = 3600.0 * found[stage]["core_hours"]
        print(f"{stage:10}{expected:18.1f}{cpu:12.1f}{expected / cpu:8.2f}{found[stage]['wall_s']:19.0f}{wall:12.0f}")
        sums = [sums[0] + expected, sums[1] + cpu]
    print(f"{'all':10}{sums[0]:18.1f}{sums[1]:12.1f}{sums[0] / sums[1]:8.2f}")
    stores = {name: planned["stores"][name]["bytes"] for name in STORES if name in planned["stores"]}
    written = sum(footprint(config.store(name)).bytes for name in stores)
    print(f"bytes: planned {sum(stores.values()):,}, written {written:,}, ratio {sum(stores.values()) / written:.4f}")


def run(stage: str, said: list[str]) -> float:
    """Run a stage; return the CPU time of it and of all processes that it has waited for [s]."""
    command = [sys.executable, "-m", "starnet_hpc", stage, *said]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        said_there = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(said_there)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
