"""What a configuration means: overrides, paths, defaults, and that the resolved one reads back."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from starnet_hpc.config import ExperimentConfig, load_config, resolved_yaml
from tests.config.cases import ARM, INSTRUMENT, SMALLEST, write, write_text

finite = st.floats(allow_nan=False, allow_infinity=False)
intervals = st.tuples(finite, finite).filter(lambda pair: pair[0] < pair[1]).map(list)
texts = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)

cuts = st.dictionaries(st.sampled_from(["teff", "logg", "feh", "afe"]), intervals)
tables = st.lists(st.floats(101, 500_000), min_size=1, max_size=4).map(
    lambda values: [[5000.0 + k, value] for k, value in enumerate(values)]
)
instruments = st.one_of(
    st.sampled_from(["uves_4835_5395"]),
    st.fixed_dictionaries(
        {
            "name": st.from_regex(r"[A-Za-z0-9_.-]+", fullmatch=True),
            "arms": st.just([ARM]),
            "resolution": st.one_of(st.floats(101, 500_000), tables),
        },
        optional={"description": texts, "strong_lines": st.lists(intervals, max_size=3)},
    ),
)
experiments = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[A-Za-z0-9_.-]+", fullmatch=True),
        "run_dir": texts.map(lambda text: "/run/" + text.replace("$", "")),
        "grid": st.builds(lambda cut: {**SMALLEST["grid"], "cut": cut}, cuts),
    },
    optional={
        "seed": st.integers(0, 2**63 - 1),
        "instrument": instruments,
        "augment": st.fixed_dictionaries(
            {},
            optional={
                "n_train": st.integers(1, 10**9),
                "vrad_max": st.floats(0, 2000),
                "noise_max": st.floats(0, 1, exclude_max=True),
                "workers": st.none() | st.integers(1, 100),
                "dtype": st.sampled_from(["float16", "float32"]),
            },
        ),
        "train": st.fixed_dictionaries({}, optional={"clip_gradient": st.none() | st.floats(1e-6, 1e6)}),
        "survey": st.none() | texts.map(lambda text: {"path": "/s/" + text.replace("$", "")}),
        "evaluate": st.fixed_dictionaries({}, optional={"trusted": cuts}),
        "cluster": st.fixed_dictionaries({}, optional={"account": st.none() | texts, "setup": st.lists(texts)}),
    },
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=experiments)
def test_the_resolved_configuration_reads_back_as_the_same(tmp_path: Path, data: dict[str, Any]) -> None:
    config = ExperimentConfig.model_validate(data)
    text = resolved_yaml(config)
    again = load_config(write_text(tmp_path, text))
    assert again == config
    assert resolved_yaml(again) == text


def test_a_null_that_is_not_the_default_survives_resolving(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, {"train": {"clip_gradient": None}}))
    assert load_config(write_text(tmp_path, resolved_yaml(config))).train.clip_gradient is None


def test_the_resolved_configuration_means_the_same_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    config = load_config(write(tmp_path, {"instrument": "my.yaml", "survey": {"path": "stars"}}))
    resolved = write_text(tmp_path, resolved_yaml(config))
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_config(resolved) == config
    assert config.run_dir == tmp_path / "run"
    assert config.instrument == str(tmp_path / "my.yaml")


def test_overrides_reach_any_depth_and_make_missing_sections(tmp_path: Path) -> None:
    path = write_text(tmp_path, "name: a\nrun_dir: r\ngrid: {format: intrigoss, path: g}\naugment:\n")
    config = load_config(
        path, ["augment.n_train=7", "grid.cut.teff=[4000, 5000]", "train.clip_gradient=null", "cluster.extra.qos=big"]
    )
    assert config.augment.n_train == 7
    assert config.grid.cut.given() == {"teff": (4000.0, 5000.0)}
    assert config.train.clip_gradient is None
    assert config.cluster.extra == {"qos": "big"}


def test_the_last_of_two_overrides_counts_and_a_value_may_hold_an_equals_sign(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, {}), ["seed=1", "seed=2", "run_dir=/a=b"])
    assert (config.seed, config.run_dir) == (2, Path("/a=b"))


def test_variables_and_the_tilde_are_expanded_in_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCH", str(tmp_path / "scratch"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    config = load_config(
        write(tmp_path, {"run_dir": "$SCRATCH/run", "grid": {"format": "intrigoss", "path": "~/grid"}}),
        ["instrument=${SCRATCH}/spectrograph.yaml"],
    )
    assert config.run_dir == tmp_path / "scratch" / "run"
    assert config.grid.path == tmp_path / "home" / "grid"
    assert config.instrument == str(tmp_path / "scratch" / "spectrograph.yaml")


def test_anchors_and_merge_keys_of_yaml_work(tmp_path: Path) -> None:
    arms = f"[&blue {{start: {ARM['start']}, step: 0.05, count: 800}}, {{<<: *blue, start: 5200.0}}]"
    head = "name: a\nrun_dir: r\ngrid: {format: intrigoss, path: g}\n"
    path = write_text(tmp_path, f"{head}instrument: {{name: two, resolution: 20000, arms: {arms}}}\n")
    instrument = load_config(path).instrument
    assert not isinstance(instrument, str)
    assert [(arm.start, arm.count) for arm in instrument.arms] == [(5150.0, 800), (5200.0, 800)]


def test_a_checked_configuration_cannot_be_changed(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, {"instrument": INSTRUMENT}))
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 5  # type: ignore[misc]
