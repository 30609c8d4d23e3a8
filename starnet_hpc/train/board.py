"""The history as scalars for TensorBoard, the optional extra `starnet-hpc[tensorboard]`."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from starnet_hpc.errors import ConfigError

FOLDER = "tensorboard"
"""Beside the member's other files: `tensorboard --logdir RUN_DIR/members` shows all members together."""


def check_board(wanted: bool) -> None:
    """Refuse what the installation cannot give, before hours of training.

    Raises:
        ConfigError: TensorBoard is wanted and not installed.
    """
    if not wanted:
        return
    try:
        import torch.utils.tensorboard  # noqa: F401 - torch comes with the writer, which needs tensorboard's formats
    except ImportError:
        raise ConfigError(
            "train.tensorboard: true needs a package that is not installed; pip install 'starnet-hpc[tensorboard]', "
            "or set it to false (history.csv has the same numbers)"
        ) from None


@contextmanager
def board(folder: Path, epochs_done: int, *, wanted: bool) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Give a function that shows an epoch's line of the history; it does nothing unless that is wanted.

    Args:
        folder: of the event files. Each start adds one, and TensorBoard reads them as one run.
        epochs_done: what earlier starts showed of later epochs, lost before their checkpoint, is hidden.
        wanted: whether to write at all.
    """
    if not wanted:
        yield lambda row: None
        return
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder), purge_step=epochs_done + 1)

    def show(row: Mapping[str, float]) -> None:
        for column, value in row.items():
            if column != "epoch":
                writer.add_scalar(_tag(column), value, int(row["epoch"]))
        writer.flush()

    try:
        yield show
    finally:
        writer.close()


def _tag(column: str) -> str:
    """Return the name of a chart; TensorBoard groups by what stands before the stroke."""
    for ending, group in (("_loss", "loss"), ("_share", "share of time"), ("_gb", "memory [GB]")):
        if column.endswith(ending):
            return f"{group}/{column.removesuffix(ending)}"
    return f"training/{column}"
