"""What a user may get wrong in a configuration: one message that names the file, the key and what to write instead."""

from pathlib import Path
from typing import Any

import pytest

from starnet_hpc.config import load_config
from starnet_hpc.errors import ConfigError
from tests.config.cases import ARM, INSTRUMENT, write, write_text


def complaint(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    assert caught.value.exit_code == 2
    assert str(path) in str(caught.value) or overrides
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "key", "nearest"),
    [
        ({"trian": {}}, "trian", "'train'"),
        ({"augment": {"n_trian": 5}}, "augment.n_trian", "'n_train'"),
        ({"grid": {"format": "intrigoss", "path": "g", "cut": {"tef": [4000, 5000]}}}, "grid.cut.tef", "'teff'"),
        ({"instrument": {**INSTRUMENT, "resolutoin": 1}}, "instrument.resolutoin", "'resolution'"),
        ({"instrument": {**INSTRUMENT, "arms": [ARM, {**ARM, "stpe": 1}]}}, "instrument.arms.1.stpe", "'step'"),
    ],
)
def test_a_misspelt_key_is_named_with_the_nearest_valid_one(
    tmp_path: Path, changes: dict[str, Any], key: str, nearest: str
) -> None:
    assert f"{key}: unknown key; did you mean {nearest}?" in complaint(write(tmp_path, changes))


def test_an_unknown_key_that_resembles_none_brings_the_list_of_valid_ones(tmp_path: Path) -> None:
    said = complaint(write(tmp_path, {"ensemble": {"zzz": 1}}))
    assert "ensemble.zzz: unknown key; valid keys here: members, executor, parallel" in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"augment": {"n_train": "many"}}, "augment.n_train: must be a whole number, got 'many'"),
        ({"augment": {"n_train": 1.5}}, "augment.n_train:"),
        ({"augment": {"n_train": 0}}, "augment.n_train: Input should be greater than or equal to 1, got 0"),
        ({"augment": {"n_train": True}}, "augment.n_train: is no switch, and cannot be true"),
        ({"augment": {"noise_max": [1]}}, "augment.noise_max: must be a number, got [1]"),
        ({"augment": 5}, "augment: must be a mapping (key: value lines), got 5"),
        ({"train": {"labels": ["teff", "mass"]}}, "train.labels: 'mass' is no label; labels are teff, logg, feh, afe"),
        ({"train": {"labels": []}}, "train.labels: must have at least one entry"),
        ({"network": {"only": [[5180, 5170]]}}, "network.only.0: a range is [low, high] with low < high"),
        ({"network": {"ignore": 5170}}, "network.ignore: must be a list, got 5170"),
        ({"augment": {"dtype": "float64"}}, "augment.dtype: Input should be 'float16' or 'float32', got 'float64'"),
        ({"name": 5}, "name: must be text, got 5"),
        ({"name": "two words"}, "name:"),
        ({"seed": -1}, "seed:"),
        ({"run_dir": 7}, "run_dir: must be a path, got 7"),
        ({"run_dir": ""}, "run_dir: is empty; give a path"),
        ({"cluster": {"gpus": "perhaps"}}, "cluster.gpus:"),
        ({"cluster": {"extra": ["qos"]}}, "cluster.extra: must be a mapping (key: value lines), got ['qos']"),
        ({"instrument": {**INSTRUMENT, "arms": []}}, "instrument.arms:"),
        ({"instrument": {**INSTRUMENT, "arms": [{**ARM, "count": "x"}]}}, "instrument.arms.0.count: must be a whole"),
        ({"instrument": {"name": "x", "arms": [ARM]}}, "instrument.resolution: this key is required"),
        ({"instrument": {**INSTRUMENT, "resolution": 50}}, "more than 100 and at most 500000, or points"),
        (
            {"instrument": {**INSTRUMENT, "resolution": "high"}},
            "instrument.resolution: is lambda / FWHM, more than 100",
        ),
        ({"instrument": {**INSTRUMENT, "resolution": True}}, "instrument.resolution: is no switch"),
        ({"instrument": {**INSTRUMENT, "resolution": []}}, "instrument.resolution: has no points; give a number"),
        ({"instrument": {**INSTRUMENT, "resolution": [5000, 2e4]}}, "point 0 is a pair [wavelength in angstrom"),
        ({"instrument": {**INSTRUMENT, "resolution": [[5000, 2e4], [5100]]}}, "point 1 is a pair"),
        ({"instrument": {**INSTRUMENT, "resolution": [[5000, True]]}}, "point 0 is a pair"),
        (
            {"instrument": {**INSTRUMENT, "resolution": [[20_000, 50]]}},
            "point 0 is [wavelength in angstrom, lambda / FWHM",
        ),
        (
            {"instrument": {**INSTRUMENT, "resolution": [[-1, 2e4]]}},
            "point 0 is [wavelength in angstrom, lambda / FWHM",
        ),
        (
            {"instrument": {**INSTRUMENT, "resolution": [[5000, 2e4], [5000, 3e4]]}},
            "instrument.resolution: wavelengths increase from point to point, but 5000 A of point 1 follows 5000 A",
        ),
        ({"grid": {"format": "intrigoss", "path": "g", "resolution": 5}}, "grid.resolution:"),
        ({"instrument": {**INSTRUMENT, "strong_lines": [[5200, 5100]]}}, "instrument.strong_lines.0:"),
        ({"evaluate": {"sigma_limits": {"tef": 5.0}}}, "'tef' is no label"),
        ({"evaluate": {"snr_edges": [80, 30]}}, "snr_edges must increase"),
        ({"augment": {"scheduler": "node5:8786"}}, "tcp://host:8786"),
        ({"train": {"batch_size": 5, "gpus_per_node": 2}}, "choose a multiple of 2"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_what_was_expected(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    assert said in complaint(write(tmp_path, changes))


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "1.0e+999"])
@pytest.mark.parametrize("key", ["augment.vrad_max", "grid.cut.teff"])
def test_numbers_are_finite(tmp_path: Path, key: str, value: str) -> None:
    shown = f"[{value}, 9000]" if key.endswith("teff") else value
    assert key in complaint(write(tmp_path, {}), f"{key}={shown}")


def test_a_reversed_range_says_which_values_to_exchange(tmp_path: Path) -> None:
    said = complaint(write(tmp_path, {}), "grid.cut.teff=[6000, 4000]")
    assert (
        "grid.cut.teff: a range is [low, high] with low < high, got [6000.0, 4000.0]: exchange the two values" in said
    )
    assert "they are equal" in complaint(write(tmp_path, {}), "grid.cut.logg=[4, 4]")


def test_all_faults_come_in_one_message_a_line_each(tmp_path: Path) -> None:
    path = write(tmp_path, {"trian": {}, "seed": -1, "augment": {"n_train": "x", "noise_max": 2}})
    lines = complaint(path).splitlines()
    assert len(lines) == 4
    assert all(line.startswith(f"{path}: ") for line in lines)


def test_required_keys_are_asked_for(tmp_path: Path) -> None:
    said = complaint(write_text(tmp_path, "name: x\ngrid: {format: intrigoss}\n"))
    assert "run_dir: this key is required" in said
    assert "grid.path: this key is required" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [unclosed\n", "is not valid YAML"),
        ("name: a\n  seed: 1\n", "is not valid YAML"),
        ("when: 2026-02-30\n", "is not valid YAML: day is out of range for month"),
        ("\tname: a\n", "is not valid YAML"),
        ("name: !!python/object/apply:os.getcwd []\n", "is not valid YAML"),
        ("[" * 5000, "is not valid YAML"),
        ("- a\n- b\n", "expected `key: value` lines, found a list"),
        ("just words\n", "expected `key: value` lines, found a str"),
        ("", "expected `key: value` lines, found nothing"),
        ("augment: {n_train: 5}\nname: x\naugment: {n_test: 5}\n", "the key 'augment' stands twice in one section"),
        ("augment:\n  n_train: 5\n  n_train: 6\n", "the key 'n_train' stands twice in one section"),
    ],
)
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str, said: str) -> None:
    assert said in complaint(write_text(tmp_path, text))


def test_a_file_that_is_not_there_a_folder_and_bytes_are_refused(tmp_path: Path) -> None:
    assert "there is no such configuration file" in complaint(tmp_path / "none.yaml")
    assert "cannot be read as a text file" in complaint(tmp_path)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00name")
    assert "cannot be read as a text file" in complaint(tmp_path / "bytes.yaml")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("augment.n_train", "expected section.key=value"),
        ("=5", "expected section.key=value"),
        ("augment..n_train=5", "expected section.key=value"),
        ("augment.n_train=[5", "the value is not valid YAML"),
        ("name.first=x", "name is not a section"),
        ("augment.n_trian=5", "augment.n_trian: unknown key; did you mean 'n_train'?"),
        ("augment.n_train=five", "augment.n_train: must be a whole number, got 'five'"),
    ],
)
def test_an_override_that_cannot_be_is_refused_by_name(tmp_path: Path, override: str, said: str) -> None:
    complained = complaint(write(tmp_path, {}), override)
    assert said in complained
    assert "--set" in complained


def test_an_environment_variable_that_is_not_set_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_PLACE", raising=False)
    assert "run_dir: '$NO_SUCH_PLACE/run' names an environment variable that is not set" in complaint(
        write(tmp_path, {"run_dir": "$NO_SUCH_PLACE/run"})
    )
    monkeypatch.setenv("EMPTY", "")
    assert "run_dir: is empty" in complaint(write(tmp_path, {"run_dir": "$EMPTY"}))
