"""Everything that can go wrong for a reason the user can mend.

Each error is also a built-in kind, so `except ValueError` still works. The command line prints the message alone
(no traceback) and exits with `exit_code`: 2 for a bad configuration or bad arguments, 1 for any other failure.
A message says which file, key or row; what was expected; and what to do.
"""


class StarnetError(Exception):
    """Base of the package's errors."""

    exit_code = 1
    told = False
    """Whether another rank tells the user of it."""

    def __str__(self) -> str:
        # KeyError and OSError dress their message up; the user gets the plain words.
        return " ".join(str(part) for part in self.args)


class ConfigError(StarnetError, ValueError):
    """The configuration (or a command's argument) is wrong; nothing was started."""

    exit_code = 2


class MissingInputError(StarnetError, FileNotFoundError):
    """A file, folder, store or member that a stage reads is not there."""


class GridFormatError(StarnetError, ValueError):
    """A file of a synthetic grid is not what its format promises."""


class EmptyNodeError(GridFormatError):
    """A node of a synthetic grid that its file leaves empty: the spectrum was never computed."""


class ObservationFormatError(StarnetError, ValueError):
    """A file of an observed spectrum, or a manifest, is not what its format promises."""


class IsochroneFormatError(StarnetError, ValueError):
    """A file of isochrones is not what its format promises."""


class CoverageError(StarnetError, ValueError):
    """A spectrum does not cover the instrument's range plus the margin that shifts and broadening need."""


class ResolutionError(StarnetError, ValueError):
    """A template or a spectrum is coarser than the instrument it shall be turned into."""


class StoreIncompleteError(StarnetError, RuntimeError):
    """A store that a stage reads was never finished."""


class StoreMismatchError(StarnetError, RuntimeError):
    """What lies in the run directory was made with another configuration or other inputs."""


class StoreDamagedError(StarnetError, RuntimeError):
    """The bytes of a store are not those that were written."""


class RunDirectoryBusyError(StarnetError, RuntimeError):
    """Another process is writing the same store."""


class TrainingError(StarnetError, RuntimeError):
    """A member could not be trained (loss not finite, ranks that disagree, a checkpoint that does not fit)."""


class PredictionError(StarnetError, RuntimeError):
    """Some units of a prediction failed; the catalogue was not written."""


class LauncherError(StarnetError, RuntimeError):
    """MPI or Slurm did not start what was asked for."""


class JobFailedError(StarnetError, RuntimeError):
    """One or more submitted jobs did not finish."""


class StorageFullError(StarnetError, OSError):
    """No space (or quota) left where a stage writes."""


class InterruptedRunError(StarnetError, RuntimeError):
    """A signal asked the stage to stop; what is done is kept, and a rerun goes on from there."""

    signal: int | None = None
    """Which one, where this process knows."""
