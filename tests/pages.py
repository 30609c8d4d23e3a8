"""The examples of a page of docs/, run as its reader runs them: commands, files to write, and lines of Python."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starnet_hpc import cli
from tests.support import REPOSITORY

_BLOCK = re.compile(r"^```(console|python|yaml)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_COMMAND = "$ starnet-hpc "
_FILE = re.compile(r"# ([\w.]+\.yaml)\n")
"""First line of a block of YAML that is a whole file; the reader writes it under that name. Others show a part."""


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """Yield language and text of the examples of a page of docs/, in order."""
    for found in _BLOCK.finditer((REPOSITORY / "docs" / page).read_text(encoding="utf-8")):
        yield found[1], found[2]


def run_page(page: str, folder: Path) -> int:
    """Run the examples of a page, and return how many commands there were.

    The Python of a page is one session. A command ends with 0, or with what stands behind it (`# exit code 2`).

    Args:
        page: name of a file in docs/.
        folder: the working directory; paths in the examples start there.
    """
    session: dict[str, Any] = {"__name__": page}
    commands = 0
    for language, text in blocks(page):
        if language == "python":
            exec(compile(text, page, "exec"), session)  # noqa: S102  # ours
        elif language == "yaml":
            if name := _FILE.match(text):
                (folder / name[1]).write_text(text, encoding="utf-8")
        else:
            for line in text.splitlines():
                _run(line)
                commands += 1
    return commands


def _run(line: str) -> None:
    assert line.startswith(_COMMAND), f"not a command of the package: {line}"
    command, _, remark = line.removeprefix(_COMMAND).partition("  # ")
    expected = int(remark.removeprefix("exit code ")) if remark.startswith("exit code ") else 0
    assert cli.main(shlex.split(command)) == expected, line
