"""A Slurm of shell scripts: it remembers what it was told, and says what a test wants it to say."""

from __future__ import annotations

from pathlib import Path

import pytest

_SBATCH = """\
n=$(($(cat {folder}/number 2>/dev/null || echo 100) + 1)); echo $n > {folder}/number
for word; do
    case $word in --comment=*) token=${{word#*=}} ;; esac
    script=$word
done
tasks=$(sed -n 's/^#SBATCH --array=//p' "$script" | tr , ' ')
if [ -n "$tasks" ]; then
    for task in $tasks; do echo "${{n}}_$task|PENDING|None||$token" >> {folder}/queue; done
else
    echo "$n|PENDING|None||$token" >> {folder}/queue
fi
echo "$@" >> {folder}/calls
echo $n
"""
_SQUEUE = """\
touch {folder}/queue
case "$*" in
    *%k*) sed 's/^\\([0-9]*\\)[^|]*|.*|/\\1|/' {folder}/queue ;;
    *) cut -d '|' -f 1-4 {folder}/queue ;;
esac
"""


class FakeSlurm:
    """Programs in a folder that comes first on PATH."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        folder.mkdir()
        patch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        for name in ("SBATCH_ACCOUNT", "SBATCH_PARTITION"):
            patch.delenv(name, raising=False)
        self.program("sbatch", _SBATCH.format(folder=folder))
        self.program("squeue", _SQUEUE.format(folder=folder))
        self.program("scancel", f'echo "$@" >> {folder}/cancelled')
        self.offers("main*|1-00:00:00|4|64|256000|gpu:a100:4(S:0-1)", "short|30:00|2|8+|16000+|(null)")

    def program(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def offers(self, *lines: str) -> None:
        """Let sinfo show these partitions."""
        self.program("sinfo", "\n".join(f"echo '{line}'" for line in lines))

    def fails(self, name: str, times: int, words: str, *, although_done: bool = False) -> None:
        """Let a program fail so many times with these words, having done its work all the same or not."""
        path, count = self.folder / name, self.folder / f"{name}.failures"
        path.rename(self.folder / f"{name}.well")
        count.write_text("." * times)
        well = f'"{self.folder}/{name}.well" "$@"'
        self.program(
            name,
            f"if [ -s {count} ]; then\n{f'{well} > /dev/null' if although_done else ':'}\n"
            f'truncate -s -1 {count}; echo "{name}: error: {words}" >&2; exit 1\nfi\nexec {well}',
        )

    def says(self, job: str, state: str, reason: str = "None") -> None:
        """Let a job be in this state."""
        path = self.folder / "queue"
        rows = [line.split("|") for line in path.read_text().splitlines()]
        path.write_text("".join("|".join(r if r[0] != job else [job, state, reason, *r[3:]]) + "\n" for r in rows))

    def lines(self, name: str) -> list[str]:
        """Return what was noted in `calls` (of sbatch) or `cancelled`."""
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    from starnet_hpc.launch import controller

    monkeypatch.setattr(controller, "_WAITS_S", (0.0,) * 6)
    return FakeSlurm(tmp_path / "bin", monkeypatch)
