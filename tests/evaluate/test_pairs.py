"""`evaluate A B`: two runs side by side, in closed form."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

from starnet_hpc import cli
from starnet_hpc.config import ExperimentConfig, resolved_yaml
from starnet_hpc.errors import ConfigError, MissingInputError, StoreMismatchError
from starnet_hpc.evaluate import compare_runs, pair_bias, pair_tables
from starnet_hpc.evaluate.figures import pairs as figures
from starnet_hpc.evaluate.pairs import read_pair
from starnet_hpc.stores import write_json
from tests.evaluate.fake_run import LABELS, Recipe, build_run
from tests.evaluate.html_page import Page, prose

pytestmark = pytest.mark.usefixtures("undrawn")


def small(path: Path, name: str, *, n_test: int = 600, **changes: object) -> ExperimentConfig:
    recipe = Recipe(n_test=n_test, templates=60, members=2, examples=False, **changes)  # type: ignore[arg-type]
    return build_run(path, recipe, name=name)


def rows_of(first: ExperimentConfig, second: ExperimentConfig, name: str) -> list[dict[str, str]]:
    with (first.run_dir / f"comparison_with_{second.name}" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_errors_in_common_drop_out_of_ratios_of_the_same_spectra(tmp_path: Path) -> None:
    first = small(tmp_path / "a", "narrow", n_survey=40)
    second = small(tmp_path / "b", "wide", n_survey=60, worse={"teff": 2.0}, bias={"logg": 0.05})
    report = compare_runs(first, second)
    assert report == first.run_dir / "comparison_with_wide.html"
    page = Page(report.read_text(encoding="utf-8"))
    assert page.open == []
    assert all((report.parent / link).is_file() for link in page.links if not link.startswith("#"))
    words = prose(report.read_text(encoding="utf-8"))
    assert re.search(r"median residuals of wide are larger in Teff \(2\.0+ .* than those of narrow", words)
    assert re.search(r"without a significant difference: log g \(1\..*, \[Fe/H\] \(1\.00 times\)", words)
    ratios = {(row["label"], row["snr"]): row for row in rows_of(first, second, "ratios")}
    # Both have the same Gaussian numbers, of which the second's are twice as large.
    for key in ("residual", "sigma", "crps"):
        assert float(ratios["teff", "all"][f"{key}_ratio"]) == pytest.approx(2.0, rel=1e-6)
        assert float(ratios["teff", "all"][f"{key}_ratio_error"]) < 1e-6
    common = {row["label"]: row for row in rows_of(first, second, "survey")}
    assert common["logg"]["n"] == "40"
    assert float(common["logg"]["median"]) == pytest.approx(0.05)
    assert float(common["feh"]["median"]) == 0
    assert {row["key"] for row in rows_of(first, second, "settings")} == {"grid.path", "survey.path"}
    # Only the first run's folder is written to.
    assert not (second.run_dir / "logs").exists()
    assert not list(second.run_dir.glob("comparison*"))


def test_ratios_of_other_spectra_have_the_errors_of_independent_numbers(tmp_path: Path) -> None:
    first = small(tmp_path / "a", "narrow")
    second = small(tmp_path / "b", "wide", n_test=900, worse={"teff": 2.0})
    pair = read_pair(first, second)
    assert not pair.same_spectra
    (told,) = pair.limits()
    assert told.startswith("The held-out spectra are not the same (600 of narrow, 900 of wide)")
    compare_runs(first, second)
    (row,) = (row for row in rows_of(first, second, "ratios") if (row["label"], row["snr"]) == ("teff", "all"))
    ratio, error = float(row["residual_ratio"]), float(row["residual_ratio_error"])
    assert ratio == pytest.approx(2.0, abs=4 * error)
    # Of a median of n absolute Gaussian values: 0.5 / (sqrt(n) f) over the median, with f = 0.636 at 0.674.
    expected = 2.0 * 1.166 * np.hypot(600**-0.5, 900**-0.5)
    assert error == pytest.approx(expected, rel=0.5)  # and clusters make it larger


def test_another_range_is_told_of_and_labels_of_one_run_alone_are_left_out(tmp_path: Path) -> None:
    first = small(tmp_path / "a", "narrow")
    second = small(tmp_path / "b", "red", wavelength=(6000.0, 6100.0, 64))
    path = second.catalogue("test")
    table = Table.read(path)
    table.remove_columns([name for name in table.colnames if name.startswith("afe")])
    table.write(path, overwrite=True)
    limits = " ".join(read_pair(first, second).limits())
    assert "Only narrow predicts [α/Fe]: not compared." in limits
    assert (
        "The instruments differ: narrow sees 5150–5200 Å at R = 47,000 (fake-uves) and red sees 6000–6100 Å" in limits
    )
    words = prose(compare_runs(first, second).read_text(encoding="utf-8"))
    assert "The instruments differ" in words
    assert "have no survey star in common" in words
    assert {row["label"] for row in rows_of(first, second, "ratios")} == set(LABELS) - {"afe"}


def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    first, second = small(tmp_path / "a", "one"), small(tmp_path / "b", "other")
    with pytest.raises(ConfigError, match="give two different runs"):
        compare_runs(first, first)
    for config, gone in ((first, ("teff", "logg", "feh")), (second, ("afe", "vsini", "vrad"))):
        table = Table.read(config.catalogue("test"))
        table.remove_columns([name for name in table.colnames if name.startswith(gone)])
        table.write(config.catalogue("test"), overwrite=True)
    with pytest.raises(StoreMismatchError, match=r"no label in common.*the first predicts afe, vsini and vrad"):
        compare_runs(first, second)
    second.catalogue("test").unlink()
    with pytest.raises(MissingInputError, match=r"b/test_catalogue.fits: .* `starnet-hpc predict CONFIG`"):
        compare_runs(first, second)
    assert not list(tmp_path.rglob("comparison*"))


def test_the_command_takes_run_directories(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        config = small(tmp_path / "made" / name, name)
        write_json(config.run_dir / "experiment.json", {"name": name, "seed": config.seed})
        (config.run_dir / "config.yaml").write_text(resolved_yaml(config), encoding="utf-8")
    (tmp_path / "made").rename(tmp_path / "moved")
    here = [str(tmp_path / "moved" / name) for name in ("a", "b")]
    assert cli.main(["evaluate", *here]) == 0
    assert (tmp_path / "moved/a/comparison_with_b.html").exists()
    assert cli.main(["evaluate", here[0], str(tmp_path)]) == 2
    assert "holds no config.yaml, so it is not a run directory" in capsys.readouterr().err
    (tmp_path / "moved/b/test_catalogue.fits").unlink()
    assert cli.main(["evaluate", here[1]]) == 1
    assert "make it first with `starnet-hpc predict CONFIG`" in capsys.readouterr().err


def test_biases_of_noisy_spectra_are_shown_along_each_label_for_both_runs(tmp_path: Path) -> None:
    first, second = small(tmp_path / "a", "with"), small(tmp_path / "b", "without", bias={"feh": 0.1})
    found = pair_bias.along_label("b", "c", read_pair(first, second))
    noisy = found.where(label="feh", run="without")
    mine = found.where(label="feh", run="with")
    snr = read_pair(first, second).first.test.sample.snr
    assert noisy.numbers("n").sum() == (snr < 80).sum() < snr.size
    np.testing.assert_allclose(noisy.numbers("median") - mine.numbers("median"), 0.1, rtol=1e-5)
    assert len(mine.rows) == 8


def test_benchmark_stars_of_both_runs_stand_side_by_side(tmp_path: Path) -> None:
    stars = tuple({"id": f"a${k}", "teff": 5000.0 + k, "logg": 4.5, "feh": 0.0} for k in range(4))
    first = small(tmp_path / "a", "one", stars=stars)
    second = small(tmp_path / "b", "two", stars=stars, bias={"teff": 100.0})
    compare_runs(first, second)
    each = {(row["run"], row["id"], row["label"]): row for row in rows_of(first, second, "benchmarks")}
    by_kind = {(row["run"], row["kind"], row["label"]): row for row in rows_of(first, second, "benchmark_groups")}
    for run in ("one", "two"):
        differences = [float(each[run, f"a${k}", "teff"]["difference"]) for k in range(4)]
        row = by_kind[run, "metal-rich dwarf", "teff"]
        assert float(row["rms"]) == pytest.approx(np.sqrt(np.mean(np.square(differences))))
        assert row["n"] == "4"
    assert float(each["two", "a$1", "teff"]["difference"]) - float(each["one", "a$1", "teff"]["difference"]) == (
        pytest.approx(100.0, rel=1e-4)
    )
    found = pair_tables.benchmark_stars("b", "c", read_pair(first, second), 0)
    assert found is not None
    drawn = figures.benchmarks(found)
    drawn.draw_without_rendering()
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["one", "two"]


def test_runs_without_benchmark_stars_have_no_chapter_on_them(tmp_path: Path) -> None:
    star = ({"id": "Sun", "teff": 5771.0},)
    pair = read_pair(small(tmp_path / "a", "one", stars=star), small(tmp_path / "b", "two", n_survey=5))
    assert pair_tables.benchmark_stars("b", "c", pair, 0) is None
