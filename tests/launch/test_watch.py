"""Spectra that arrive: every file a row, the numbers of `predict`, and nothing lost whatever happens."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from starnet_hpc.cli import main
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.flags import Flag
from starnet_hpc.interrupts import StopRequest
from starnet_hpc.launch.watch import opened_watcher
from starnet_hpc.launch.watcher import Watcher
from starnet_hpc.observations import read_observation
from starnet_hpc.observe import observe
from starnet_hpc.predict import load_ensemble, members_there, predict
from starnet_hpc.progress import stage_log
from starnet_hpc.stores import read_json, write_json
from tests import support
from tests.launch.watching import ready_to_watch, rows, write_star

PATIENCE_S = 10.0
OWN_COLUMNS = {"file", "snr", "masked_fraction", "cosmics", "frame", "verdict", "remark", "identity", "predicted"}


@pytest.fixture
def config(tmp_path: Path) -> ExperimentConfig:
    return ready_to_watch(tmp_path)


@pytest.fixture
def observed(config: ExperimentConfig) -> Path:
    return config.run_dir.parent / "observed"


def command(config: ExperimentConfig, *words: str) -> list[str]:
    folder = config.run_dir.parent
    return ["watch", str(folder / "observed"), str(folder / "config.yaml"), "--once", "--interval", "0.01", *words]


@contextmanager
def watching(config: ExperimentConfig) -> Iterator[Watcher]:
    """Give a watcher whose looks the test takes, at times that it says."""
    path = config.run_dir / "watch_catalogue.ecsv"
    assert config.survey is not None
    assert config.survey.path is not None
    with stage_log("watch", config.run_dir) as log:
        ensemble = load_ensemble(config, members_there(config), log)
        with opened_watcher(
            config, config.survey, config.survey.path, path, ensemble, log, patience_s=PATIENCE_S
        ) as watcher:
            yield watcher


def looks(watcher: Watcher, *times: float) -> int:
    """Look at these times [s], and return how many rows there are then."""
    for time in times:
        watcher.look(time, until=float("inf"), stop=StopRequest())
    return watcher.known.rows


def observed_and_predicted(config: ExperimentConfig) -> Table:
    """Return the catalogue that `observe` and `predict` make of the same files."""
    shutil.rmtree(config.store("survey"))
    shutil.rmtree(config.store("survey").with_suffix(".markers"))
    observe(config)
    return Table.read(predict(config)[-1])


@pytest.mark.parametrize("augment", [{"dtype": "float16"}, {"continuum": "smooth", "continuum_width": 2.0}])
def test_labels_sigmas_and_flags_are_those_of_a_survey_to_the_last_bit(tmp_path: Path, augment: dict[str, Any]) -> None:
    config = ready_to_watch(tmp_path, valid=48, augment=augment)
    for k in range(5):
        write_star(tmp_path / "observed" / f"star{k}.fits", config, key=k, snr=20.0 + 20 * k)
    (tmp_path / "observed" / "torn.fits").write_bytes((tmp_path / "observed" / "star1.fits").read_bytes()[:7000])
    assert main(command(config, "--patience", "0.01")) == 0
    found, expected = rows(config), observed_and_predicted(config)
    found.sort("id")
    assert set(found.colnames) == set(expected.colnames) | OWN_COLUMNS
    assert (found["teff_err"] != found["teff_err_raw"]).all()  # calibrated
    for name in expected.colnames:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    # Members that were never trained disagree about any of them.
    sure = found["flags"] & ~int(Flag.LARGE_EPISTEMIC | Flag.UNLIKE_TRAINING)
    assert sure.tolist() == [Flag.LOW_SNR, 0, 0, 0, 0, Flag.UNREADABLE | Flag.BAD_INPUT]


def test_batches_of_a_survey_change_less_than_anybody_can_see(tmp_path: Path) -> None:
    config = ready_to_watch(tmp_path, predict={"batch_size": 16})
    for k in range(5):
        write_star(tmp_path / "observed" / f"star{k}.fits", config, key=k)
    assert main(command(config)) == 0
    found, expected = rows(config), observed_and_predicted(config)
    for name in support.LABELS:  # the same tolerance as for batches of another size
        for part in ("", "_err", "_aleatoric", "_epistemic"):
            assert (np.abs(found[name + part] - expected[name + part]) < 1e-4 * expected[f"{name}_err"]).all()


def test_a_file_is_left_alone_at_every_byte_until_it_is_whole(config: ExperimentConfig, observed: Path) -> None:
    whole = write_star(observed / ".hidden", config).read_bytes()
    path = observed / "star.fits"
    with fits.open(observed / ".hidden") as hdus:  # what follows is FITS's padding
        end = hdus[1].fileinfo()["datLoc"] + hdus[1].size
    with watching(config) as watcher:
        for cut in [*range(0, end, 487), end - 1]:
            path.write_bytes(whole[:cut])
            # Two looks find it stable, a third one has no reason to read it again.
            assert looks(watcher, cut, cut + 0.5, cut + 1.0) == 0
        path.write_bytes(whole)
        assert looks(watcher, 1e6, 1e6 + 0.5) == 1
        assert looks(watcher, 1e6 + 1.0, 1e6 + 1.5) == 1
    assert rows(config)["verdict"].tolist() == ["fine"]


def test_a_file_that_stays_torn_gets_one_row_and_another_one_when_it_is_whole(
    config: ExperimentConfig, observed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = write_star(observed / "star.fits", config).read_bytes()
    (observed / "star.fits").write_bytes(whole[:7000])
    with watching(config) as watcher:
        assert looks(watcher, 0.0, 1.0, PATIENCE_S - 0.1) == 0
        assert looks(watcher, PATIENCE_S, PATIENCE_S + 1.0, 1e3) == 1
        (observed / "star.fits").write_bytes(whole)
        assert looks(watcher, 2e3, 2e3 + 1.0, 2e3 + 2.0) == 2
    table = rows(config)
    assert table["id"].tolist() == ["star", "star"]
    assert table["flags"].tolist() == [Flag.UNREADABLE | Flag.BAD_INPUT, 0]
    assert np.isfinite(table["teff"]).tolist() == [False, True]
    assert table["n_members"].tolist() == [0, 2]
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"star  no labels: {observed / 'star.fits'}: is truncated")
    assert second.startswith("star  S/N 90  Teff ")
    assert second.endswith("  fine")


def test_half_of_a_text_file_that_reads_as_a_spectrum_is_followed_by_the_whole(tmp_path: Path) -> None:
    config = ready_to_watch(tmp_path, survey={"format": "text", "frame": "rest", "medium": "air"})
    star = read_observation(write_star(tmp_path / "star.fits", config), None)
    lines = [f"{w:.4f} {f:.5f}\n" for w, f in zip(star.wavelength, star.flux, strict=True)]
    path = tmp_path / "observed" / "star.txt"
    with watching(config) as watcher:
        path.write_text("".join(lines[:150]), encoding="utf-8")
        assert looks(watcher, 0.0, 1.0) == 1
        path.write_text("".join(lines), encoding="utf-8")
        assert looks(watcher, 2.0, 3.0, 4.0) == 2
    table = rows(config)
    assert table["flags"].tolist() == [Flag.PARTIAL_COVERAGE, 0]
    assert np.isfinite(table["teff"]).all()


def test_a_file_that_changes_while_it_is_read_is_read_again(
    config: ExperimentConfig, observed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_star(observed / "star.fits", config)
    with watching(config) as watcher:
        reduced = watcher._reduced

        def meanwhile(read: Path) -> Any:
            found = reduced(read)
            write_star(path, config, key=2)
            return found

        monkeypatch.setattr(watcher, "_reduced", meanwhile)
        assert looks(watcher, 0.0, 1.0) == 0
        monkeypatch.undo()
        assert looks(watcher, 2.0, 3.0) == 1


def test_what_the_catalogue_has_is_not_predicted_again(
    config: ExperimentConfig, observed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for k in range(3):
        write_star(observed / f"star{k}.fits", config, key=k)
    assert main(command(config)) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    catalogue = config.run_dir / "watch_catalogue.ecsv"
    before = catalogue.read_bytes()
    shutil.copy(observed / "star0.fits", observed / "star0.new")  # a copy is the same spectrum, whatever its times
    (observed / "star0.new").replace(observed / "star0.fits")
    assert main(command(config)) == 0
    assert capsys.readouterr().out == ""
    assert catalogue.read_bytes() == before
    write_star(observed / "star1.fits", config, key=7)  # reduced again: another spectrum of the same name
    assert main(command(config)) == 0
    assert capsys.readouterr().out.startswith("star1  S/N 90")
    assert catalogue.read_bytes().startswith(before)
    assert len(rows(config)) == 4


def test_an_odd_file_does_not_end_a_night(
    config: ExperimentConfig, observed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.fits", "b.fits"):
        write_star(observed / name, config)
    with watching(config) as watcher:
        row = type(watcher.files).row

        def trips(files: Any, path: Path, snr: float) -> Any:
            if path.name == "a.fits":
                raise ZeroDivisionError("made up")
            return row(files, path, snr)

        monkeypatch.setattr(type(watcher.files), "row", trips)
        assert looks(watcher, 0.0, 1.0, PATIENCE_S + 1.0) == 2
    table = rows(config)
    assert table["id"].tolist() == ["b", "a"]
    assert table["remark"][1] == f"{observed / 'a.fits'}: ZeroDivisionError: made up"


def test_any_name_of_a_file_is_a_row_and_is_known_again(
    config: ExperimentConfig, observed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = write_star(observed / ".hidden", config).read_bytes()
    names = [
        b"plain.fits",
        b'a "b", c.fits',
        b"line\nbreak.fits",
        b"no text \xff.fits",
        "ζ Ret.fits".encode(),
        b"#.fits",
    ]
    for name in names:
        (observed / os.fsdecode(name)).write_bytes(whole)
    with watching(config) as watcher:
        assert looks(watcher, 0.0, 1.0) == len(names)
    with watching(config) as watcher:
        assert looks(watcher, 0.0, 1.0) == len(names)
    said = capsys.readouterr().out.splitlines()
    shown = {"plain", 'a "b", c', r"line\nbreak", r"no text \udcff", "ζ Ret", "#"}
    assert {line.partition("  S/N")[0] for line in said} == shown
    assert set(rows(config)["id"]) == shown


def test_what_arrives_does_not_wait_for_a_backlog(config: ExperimentConfig, observed: Path) -> None:
    for k in range(4):
        write_star(observed / f"old{k}.fits", config, key=k)
    with watching(config) as watcher:
        for number in range(4):  # each look has time for one spectrum
            watcher.look(number, until=0.0, stop=StopRequest())
            if number == 1:
                write_star(observed / "new.fits", config)
    assert rows(config)["id"].tolist() == ["old0", "old1", "new"]


def test_a_folder_that_goes_away_is_waited_for(config: ExperimentConfig, observed: Path) -> None:
    with watching(config) as watcher:
        observed.rename(observed.with_name("elsewhere"))
        looks(watcher, 0.0, 1.0)
        observed.with_name("elsewhere").rename(observed)
        write_star(observed / "star.fits", config)
        assert looks(watcher, 2.0, 3.0) == 1
    log = (config.run_dir / "logs" / "watch.log").read_text(encoding="utf-8")
    assert log.count("No such file or directory; looking again until it is back") == 1
    assert log.count("is there again") == 1


def test_sigmas_are_calibrated_where_only_members_and_calibration_were_copied_to(tmp_path: Path) -> None:
    config = ready_to_watch(tmp_path, valid=48)
    write_star(tmp_path / "observed" / "star.fits", config)
    assert main(command(config)) == 0
    there = rows(config)
    for name in ("experiment.json", "members", "predictions/calibration.json", "predictions/validation.json"):
        source, target = config.run_dir / name, tmp_path / "elsewhere" / name
        target.parent.mkdir(exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    shutil.rmtree(config.run_dir)
    elsewhere = config.model_copy(update={"run_dir": tmp_path / "elsewhere"})
    words = ["--set", f"run_dir={elsewhere.run_dir}"]
    assert main(command(config, *words)) == 0
    found = rows(elsewhere)
    assert found["teff_err"][0] == there["teff_err"][0] != there["teff_err_raw"][0]
    report = elsewhere.run_dir / "predictions" / "validation.json"
    write_json(report, {**read_json(report), "members": "others"})
    assert main(command(config, *words, "--catalogue", str(tmp_path / "other.ecsv"))) == 0
    found = Table.read(tmp_path / "other.ecsv", format="ascii.ecsv")
    assert found["teff_err"][0] == found["teff_err_raw"][0]
    assert "sigmas are as claimed" in (elsewhere.run_dir / "logs" / "watch.log").read_text(encoding="utf-8")


def test_a_file_that_does_not_say_its_frame_stops_the_first_night_but_no_later_one(
    config: ExperimentConfig, observed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    star = read_observation(write_star(observed / ".hidden.fits", config), None)
    unsaid = [f"{w:.4f} {f:.5f}\n" for w, f in zip(star.wavelength, star.flux, strict=True)]
    (observed / "stray.txt").write_text("# medium: air\n" + "".join(unsaid), encoding="utf-8")
    assert main(command(config)) == 2
    said = capsys.readouterr()
    assert said.err.splitlines()[-1].startswith("starnet-hpc: error: survey.frame: ")
    (observed / "good.txt").write_text("# medium: air\n# frame: rest\n" + "".join(unsaid), encoding="utf-8")
    assert main(command(config, "--patience", "0.5")) == 0
    assert "stray  no labels: survey.frame: " in capsys.readouterr().out
    assert rows(config)["id"].tolist() == ["good", "stray"]


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        ("no members", 1, "missing members: {run}/members/00/best.pt, {run}/members/01/best.pt; train them with"),
        ("no folder", 1, "{observed}: there is no such folder; give the one in which spectra arrive"),
        ("no survey", 2, "survey: this section is missing; `watch` reads files as `observe` does"),
        ("other pixels", 1, "instrument: tiny has other pixels than the members in {run} were trained for"),
        ("other members", 1, "{run}/watch_catalogue.ecsv: was begun with other members, settings or columns"),
        ("other run", 1, "{run} belongs to the experiment 'tiny' with seed 11"),
    ],
)
def test_what_a_user_can_mend_is_told_in_one_line(
    config: ExperimentConfig, observed: Path, capsys: pytest.CaptureFixture[str], change: str, code: int, said: str
) -> None:
    words: list[str] = []
    if change == "no members":
        shutil.rmtree(config.run_dir / "members")
    elif change == "no folder":
        observed.rmdir()
    elif change == "no survey":
        words = ["--set", "survey=null"]
    elif change == "other pixels":
        words = ["--set", "instrument.arms=[{start: 5150.0, step: 0.03, count: 220}]"]
    elif change == "other members":
        assert main(command(config)) == 0
        support.write_member(config, 1, seed=77)
    elif change == "other run":
        words = ["--set", "seed=12"]
    capsys.readouterr()
    assert main([*command(config), *words]) == code
    errors = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert len(errors) == 1
    assert errors[0].startswith("starnet-hpc: error: " + said.format(run=config.run_dir, observed=observed))


@pytest.mark.parametrize("words", [["--interval", "0"], ["--patience", "soon"], ["--interval", "nan"]])
def test_a_time_that_is_none_ends_with_2(words: list[str], config: ExperimentConfig) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command(config), *words])
    assert caught.value.code == 2
