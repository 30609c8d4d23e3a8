"""Tables that users give, as CSV."""

import csv
from collections.abc import Sequence
from pathlib import Path

from starnet_hpc.errors import MissingInputError, ObservationFormatError


def read_rows(path: Path, needed: Sequence[str], what: str) -> list[tuple[int, dict[str, str]]]:
    """Return the lines of a table, each with its number, and its texts by column, without blanks around them.

    Args:
        path: of the file.
        needed: columns that must be there.
        what: the table is, for messages ("table of members (evaluate.clusters.members)").

    Raises:
        MissingInputError: there is no such file.
        ObservationFormatError: it cannot be read, or lacks a column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            names = reader.fieldnames or ()
            if missing := [name for name in needed if name not in names]:
                raise ObservationFormatError(
                    f"{path}: has no column {' and no column '.join(missing)}; a {what} has {', '.join(needed)} (and "
                    f"any others), separated by commas; its columns are {' | '.join(names) or 'none'}"
                )
            return [(reader.line_num, {name: str(row[name] or "").strip() for name in names}) for row in reader]
    except FileNotFoundError:
        raise MissingInputError(f"{path}: there is no such {what}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ObservationFormatError(f"{path}: cannot be read as CSV ({error})") from None
