"""Words from and to the user: `starnet-hpc COMMAND CONFIG`, and the same as `python -m starnet_hpc.STAGE CONFIG`."""

import argparse
import logging
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from starnet_hpc import __version__
from starnet_hpc.config import ExperimentConfig, load_config, load_run
from starnet_hpc.errors import ConfigError, StarnetError
from starnet_hpc.world import announced_ranks

Run = Callable[[ExperimentConfig, argparse.Namespace], object]


def _ingest(config: ExperimentConfig, options: argparse.Namespace) -> object:
    from starnet_hpc.ingest import ingest

    return ingest(config)


def _augment(config: ExperimentConfig, options: argparse.Namespace) -> object:
    from starnet_hpc.augment import augment

    augment(config)
    return None


def _train(config: ExperimentConfig, options: argparse.Namespace) -> object:
    from starnet_hpc.launch.slurm import queued_again
    from starnet_hpc.train import train

    with queued_again(asked=options.requeue):
        return train(config, options.member)


def _ensemble(config: ExperimentConfig, options: argparse.Namespace) -> object:
    from starnet_hpc.launch.ensemble import train_ensemble

    return train_ensemble(config, executor=options.executor)


def _observe(config: ExperimentConfig, options: argparse.Namespace) -> object:
    from starnet_hpc.observe import observe

    return observe(config)


def _predict(config: ExperimentConfig, options: argparse.Namespace) -> object:
    from starnet_hpc.predict import predict

    return predict(config)


def _evaluate(config: ExperimentConfig, options: argparse.Namespace) -> object:
    from starnet_hpc.evaluate import compare_runs, evaluate

    if options.other is None:
        return evaluate(config)
    return compare_runs(config, load_run(options.other))


def _run(config: ExperimentConfig, options: argparse.Namespace) -> object:
    if (options.executor or config.ensemble.executor) == "slurm":
        from starnet_hpc.launch.pipeline import submit_chain

        submit_chain(config, wait=options.wait)
        return None
    from starnet_hpc.launch.chain import run_chain

    if options.wait:
        raise ConfigError("--wait is for the executor `slurm`; others end when all is done")
    return run_chain(config, executor=options.executor)


_STAGES: dict[str, tuple[Run, str]] = {
    "ingest": (_ingest, "read the synthetic grid's files into grid.zarr"),
    "augment": (_augment, "make realistic spectra: train.zarr, valid.zarr, test.zarr"),
    "train": (_train, "train one member, in this process (or in those of srun or torchrun)"),
    "ensemble": (_ensemble, "train all members, on this machine or as Slurm jobs"),
    "observe": (_observe, "read observed spectra into survey.zarr"),
    "predict": (_predict, "predict labels with all members, alone or under mpiexec/srun"),
    "evaluate": (_evaluate, "tables, figures and report.html"),
    "run": (_run, "all stages in order, here or as Slurm jobs, skipping what is done"),
}

_WITH_WORKERS = {"ingest", "augment", "observe"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 complete, 1 failed, 2 bad configuration or arguments."""
    return _guarded(_parser(), arguments)


def stage_main(stage: str, arguments: Sequence[str] | None = None) -> int:
    """Run one stage as `python -m starnet_hpc.STAGE`; return its exit code."""
    parser = argparse.ArgumentParser(prog=f"python -m starnet_hpc.{stage}", description=_STAGES[stage][1])
    _add_stage_options(parser, stage)
    return _guarded(parser, arguments)


def _guarded(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> int:
    options = parser.parse_args(arguments)  # exits with 2 by itself
    # Zarr writes several files at once. If none can be written the first one is told of, once; asyncio would add a
    # traceback for each of the others.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    try:
        options.action(options)
    except StarnetError as error:
        if not error.told:
            _tell(f"{parser.prog}: error: {error}")
        return error.exit_code
    except OSError as error:
        if error.filename is None:
            raise
        _tell(f"{parser.prog}: error: {error.filename}: {error.strerror}")
        return 1
    except KeyboardInterrupt:
        _tell(f"{parser.prog}: interrupted; run the same command again to go on")
        return 1
    return 0


def _tell(message: str) -> None:
    sys.stderr.write(f"{message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="starnet-hpc",
        description="Stellar labels with honest uncertainties from synthetic spectra, at survey scale.",
    )
    parser.add_argument("--version", action="version", version=f"starnet-hpc {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for stage, (_, text) in _STAGES.items():
        _add_stage_options(commands.add_parser(stage, help=text, description=text), stage)
    quickstart = commands.add_parser("quickstart", help="the whole job on a small grid that ships with the package")
    quickstart.add_argument("--run-dir", type=Path, default=Path("quickstart-run"), help="folder to work in")
    quickstart.add_argument("--small", action="store_true", help="a few seconds' worth, to see that everything works")
    quickstart.set_defaults(action=_quickstart)
    verify = commands.add_parser("verify", help="whether the stores hold what was written, down to the byte")
    _add_config_options(verify)
    verify.add_argument("--regenerate", type=_count, default=0, metavar="K", help="compute K random rows a store again")
    verify.add_argument("--mend", action="store_true", help="make ready for damaged shards to be made anew")
    verify.set_defaults(action=_verify)
    instruments = commands.add_parser("instruments", help="spectrographs that come with the package, or one to copy")
    instruments.add_argument(
        "choice", nargs="?", metavar="NAME", help="print its YAML; or a YAML file of yours to check"
    )
    instruments.set_defaults(action=_instruments)
    plan = commands.add_parser("plan", help="what a run will write and take, before anything is started")
    _add_config_options(plan)
    plan.add_argument("--json", action="store_true", help="print one JSON object")
    plan.set_defaults(action=_plan)
    status = commands.add_parser("status", help="how far a run is, also while its jobs run")
    _add_config_options(status)
    status.add_argument("--json", action="store_true", help="print one JSON object")
    status.set_defaults(action=_status)
    watch = commands.add_parser("watch", help="predict each spectrum when it arrives in a folder, until Ctrl-C")
    watch.add_argument("folder", type=Path, metavar="FOLDER", help="where spectra arrive")
    _add_config_options(watch)
    watch.add_argument("--once", action="store_true", help="end when the files that are there have their rows")
    watch.add_argument(
        "--interval", type=_seconds, default=0.5, metavar="S", help="time between two looks [s] (default: 0.5)"
    )
    watch.add_argument(
        "--patience", type=_seconds, default=10.0, metavar="S",
        help="a file that cannot be used gets its row when unchanged for so long [s] (default: 10)",
    )  # fmt: skip
    watch.add_argument("--catalogue", type=Path, metavar="FILE", help="default: watch_catalogue.ecsv in run_dir")
    watch.set_defaults(action=_watch)
    doctor = commands.add_parser("doctor", help="what works on this machine, and what to do about the rest")
    doctor.set_defaults(action=_doctor)
    return parser


def _add_config_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, metavar="CONFIG", help="YAML file of the experiment")
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", dest="overrides", help="change one key"
    )


def _add_stage_options(parser: argparse.ArgumentParser, stage: str) -> None:
    _add_config_options(parser)
    if stage == "evaluate":
        parser.add_argument(
            "other", nargs="?", type=Path, metavar="OTHER",
            help="another run to set beside this one, without --set; both are YAML files or run directories",
        )  # fmt: skip
    if stage == "train":
        parser.add_argument("--member", type=int, default=0, help="which member, from 0 (default: 0)")
        parser.add_argument(
            "--requeue", action="store_true", help="in a Slurm job: queue it again at a time limit or a preemption"
        )
    if stage in {"ensemble", "run"}:
        parser.add_argument("--executor", choices=["debug", "local", "slurm"], help="default: ensemble.executor")
    if stage == "run":
        parser.add_argument("--wait", action="store_true", help="executor slurm: stay until all jobs have ended")
        parser.add_argument(
            "--dry-run", action="store_true", help="executor slurm: print every script and command, submit nothing"
        )
    parser.set_defaults(action=lambda options: _run_stage(stage, options))


def _run_stage(stage: str, options: argparse.Namespace) -> None:
    from starnet_hpc.launch.rundir import claim

    config = _agreed_config(options, load_run if stage == "evaluate" else load_config)
    if stage == "run" and options.dry_run:
        from starnet_hpc.launch.pipeline import show_chain

        if (options.executor or config.ensemble.executor) != "slurm":
            raise ConfigError("--dry-run is for the executor `slurm`; `starnet-hpc plan` tells what a run here takes")
        show_chain(config)
        return
    if stage in _WITH_WORKERS and config.augment.scheduler == "mpi":
        from starnet_hpc.parallel.mpi import roles

        with roles(config) as runs_stage:
            if runs_stage:
                claim(config)
                _STAGES[stage][0](config, options)
        return
    claim(config)
    _STAGES[stage][0](config, options)


def _agreed_config(options: argparse.Namespace, load: Callable[..., ExperimentConfig]) -> ExperimentConfig:
    """Return the configuration; of ranks that find the same faults in it only the first tells of them."""
    try:
        return load(options.config, options.overrides)
    except ConfigError as error:
        error.told = announced_ranks()[1] != 0
        raise


def _quickstart(options: argparse.Namespace) -> None:
    from starnet_hpc.launch.quickstart import quickstart

    quickstart(options.run_dir, small=options.small)


def _verify(options: argparse.Namespace) -> None:
    from starnet_hpc.launch.rundir import claim
    from starnet_hpc.launch.verify import verify

    config = load_config(options.config, options.overrides)
    claim(config)
    verify(config, regenerate=options.regenerate, mend=options.mend)


def _instruments(options: argparse.Namespace) -> None:
    from starnet_hpc.instruments import details, overview

    lines = overview() if options.choice is None else details(options.choice)
    sys.stdout.write("\n".join(lines) + "\n")


def _plan(options: argparse.Namespace) -> None:
    from starnet_hpc.launch.plan import plan

    plan(load_config(options.config, options.overrides), json=options.json)


def _status(options: argparse.Namespace) -> None:
    from starnet_hpc.launch.status import status

    status(load_config(options.config, options.overrides), json=options.json)


def _watch(options: argparse.Namespace) -> None:
    from starnet_hpc.launch.watch import watch

    watch(
        load_config(options.config, options.overrides),
        options.folder,
        once=options.once,
        interval_s=options.interval,
        patience_s=options.patience,
        catalogue=options.catalogue,
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.01 <= seconds <= 86_400:  # a day
        raise argparse.ArgumentTypeError(f"{text!r} is not a time in seconds, from 0.01 to 86400")
    return seconds


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rows")
    return int(text)


def _doctor(options: argparse.Namespace) -> None:
    from starnet_hpc.launch.doctor import doctor

    doctor()
