"""The file that says which members were submitted as which jobs."""

from pathlib import Path

import pytest

from starnet_hpc.launch.submissions import Submission, note, noted


def test_the_last_submission_of_each_member_is_noted(tmp_path: Path) -> None:
    assert noted(tmp_path) == {}
    note(tmp_path, {0: Submission("12_0", 4, "a"), 1: Submission("12_1", 4, "b")})
    note(tmp_path, {1: Submission("13", 4, "b")})
    assert noted(tmp_path) == {0: Submission("12_0", 4, "a"), 1: Submission("13", 4, "b")}


@pytest.mark.parametrize("text", ["", "[]", '{"0": {"job": "12"}}', '{"first": {}}'])
def test_a_file_that_cannot_be_read_notes_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "members.json").write_text(text)
    assert noted(tmp_path) == {}
