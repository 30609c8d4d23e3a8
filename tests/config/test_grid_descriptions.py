"""Table 1 of the paper as data: every grid's description fits its reader, the article and the common cut."""

from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from starnet_hpc.config.spectra import GridFormat, LabelCut
from starnet_hpc.grids.ferre import alpha_of

FOLDER = Path(__file__).resolve().parents[2] / "configs" / "grids"
GRIDS: dict[str, dict[str, Any]] = {
    path.stem: yaml.safe_load(path.read_text()) for path in FOLDER.glob("*.yaml") if path.stem != "common_cut"
}
CUT = LabelCut.model_validate(yaml.safe_load((FOLDER / "common_cut.yaml").read_text())["cut"])


def test_the_five_grids_of_the_paper_are_there_with_a_reader_each() -> None:
    assert sorted(GRIDS) == ["ambre", "ferre", "intrigoss", "mpia", "phoenix"]
    assert {grid["format"] for grid in GRIDS.values()} <= set(get_args(GridFormat))
    for grid in GRIDS.values():
        assert grid["where"].startswith("http")
        assert grid["cite"]


@pytest.mark.parametrize("name", GRIDS)
def test_steps_lead_from_the_first_value_to_the_last(name: str) -> None:
    for block in GRIDS[name]["nodes"]:
        for label, (low, high, step) in block.items():
            if step is None:
                assert low == high or label == "vmicro"
            else:
                assert (high - low) / step == pytest.approx(round((high - low) / step)), (name, label)


@pytest.mark.parametrize("name", GRIDS)
def test_the_numbers_are_those_of_the_article(name: str, shared: Path) -> None:
    """Its table is flattened to one number a line, so that each number is looked for, not its place."""
    lines = (shared / "paper.txt").read_text().splitlines()
    start = next(at for at, line in enumerate(lines) if "Table 1. The parameter space" in line)
    printed = {line.replace("–", "").strip() for line in lines[start : start + 400]}
    printed = {float(text) for text in printed if text.replace("-", "").replace(".", "").isdigit()}
    for block in GRIDS[name]["nodes"]:
        for label, numbers in block.items():
            missing = {float(number) for number in numbers if number is not None} - printed
            assert not missing, (name, label, missing)


def test_the_common_cut_is_the_box_of_intrigoss_with_iron_down_to_minus_three() -> None:
    (box,) = GRIDS["intrigoss"]["nodes"]
    for label, (low, high) in CUT.given().items():
        assert high == box[label][1]
        assert low == (-3.0 if label == "feh" else box[label][0])
    for name, grid in GRIDS.items():
        reached = min(block["feh"][0] for block in grid["nodes"])
        assert reached <= -3.0 or name == "intrigoss"


def test_the_rule_for_alpha_is_the_readers() -> None:
    rule = GRIDS["ferre"]["alpha_of_iron"]
    assert [alpha_of(feh) for feh in rule["feh"]] == rule["afe"]
    assert alpha_of(-0.75) == 0.25
