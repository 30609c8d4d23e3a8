"""Clusters: who belongs to which, what [Fe/H] they have, and which isochrone is theirs."""

from pathlib import Path

import numpy as np
import pytest

from starnet_hpc.config import StarClustersConfig
from starnet_hpc.errors import MissingInputError, ObservationFormatError
from starnet_hpc.evaluate.figures import clusters as figures
from starnet_hpc.evaluate.sample import LabelColumns, Sample
from starnet_hpc.evaluate.science import clusters
from starnet_hpc.evaluate.science.membership import Membership, read_membership
from starnet_hpc.evaluate.science.planes import LINE, STAR
from starnet_hpc.evaluate.tables import Column, table

IDS = [f"star-{k:03d}" for k in range(120)]
FEH, SCATTER = {"NGC 1": -1.5, "NGC 2": -0.3}, 0.1


def write_members(path: Path) -> Path:
    lines = [f"{name},{'NGC 1' if k < 60 else 'NGC 2'}" for k, name in enumerate([*IDS[:110], "not observed"])]
    path.write_text("id,cluster\n" + "\n".join(lines) + "\n")
    return path


def write_isochrones(path: Path) -> Path:
    teff, logg = np.linspace(6500, 4000, 40), np.linspace(4.2, 1.0, 40)
    lines = [f"{x},{y},{feh}" for feh in (-2.0, -1.4, 0.0) for x, y in zip(teff, logg, strict=True)]
    path.write_text("teff,logg,feh\n" + "\n".join(lines) + "\n")
    return path


def stars() -> Sample:
    generator = np.random.Generator(np.random.Philox(4))
    truth = np.where(np.arange(120) < 60, FEH["NGC 1"], FEH["NGC 2"]) + SCATTER * generator.standard_normal(120)
    sigma = generator.uniform(0.02, 0.1, 120)
    value = truth + sigma * generator.standard_normal(120)
    value[5] = np.nan
    predicted = {"feh": LabelColumns(value, sigma, sigma, sigma)}
    for name, low, high, size in (("teff", 4000.0, 6500.0, 60.0), ("logg", 1.0, 4.2, 0.1)):
        same = np.full(120, size)
        predicted[name] = LabelColumns(np.linspace(low, high, 120), same, same, same)
    return Sample(predicted, {}, {}, np.full(120, 50.0))


@pytest.fixture
def settings(tmp_path: Path) -> StarClustersConfig:
    known = {
        "NGC 1": {"feh": -1.5, "e_feh": 0.05, "isochrone": str(write_isochrones(tmp_path / "i.csv"))},
        "NGC 2": {"feh": -0.3},
    }
    return StarClustersConfig.model_validate({"members": str(write_members(tmp_path / "m.csv")), "known": known})


def test_mean_scatter_and_pull_of_each_cluster_are_those_of_its_stars(settings: StarClustersConfig) -> None:
    membership = read_membership(settings.members, IDS)
    assert membership.listed == {"NGC 1": 60, "NGC 2": 51}
    found = clusters.metallicities("c", "c", settings, membership, stars())
    for name, count in (("NGC 1", 59), ("NGC 2", 50)):
        row = found.first(cluster=name)
        assert row is not None
        assert row["n"] == count
        assert float(row["feh_error"]) == pytest.approx(SCATTER / np.sqrt(count), rel=0.35)  # sigmas are smaller
        assert abs(float(row["feh"]) - FEH[name]) < 3.5 * float(row["feh_error"])
        assert abs(float(row["scatter"]) - SCATTER) < 3.5 * float(row["scatter_error"])
        own = 0.05 if name == "NGC 1" else 0.0
        assert float(row["difference_error"]) == pytest.approx(np.hypot(float(row["feh_error"]), own))
        assert float(row["pull"]) == pytest.approx(float(row["difference"]) / float(row["difference_error"]))
    assert np.isnan(found.numbers("known_error")[1])


def test_stars_are_shown_with_the_isochrone_of_the_nearest_metallicity(settings: StarClustersConfig) -> None:
    found = clusters.kiel("k", "c", settings, read_membership(settings.members, IDS), stars())
    assert len(found.where(cluster="NGC 1", what=STAR).rows) == 60
    line = found.where(cluster="NGC 1", what=LINE)
    assert set(line.numbers("feh").tolist()) == {-1.4}
    assert len(line.rows) == 40
    assert found.where(cluster="NGC 2", what=LINE).rows == ()


def test_known_clusters_without_members_are_refused(settings: StarClustersConfig) -> None:
    with pytest.raises(ObservationFormatError, match=r"has no members of NGC 2, .* its clusters are NGC 1"):
        clusters.check_names(settings, Membership(np.array([""], dtype=object), {"NGC 1": 3}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("star,cluster\na,b\n", "has no column id"),
        ("id,cluster\nstar-001,M 1\nstar-001,M 2\n", "line 3: 'star-001' is there twice"),
        ("id,cluster\nstar-001,\n", "line 2: lacks id or cluster"),
        ("id,cluster\nSTAR1,M 1\n", "none of its 1 stars .*'STAR1'.* is in the catalogue .*'star-000'"),
        ("id;cluster\nstar-001;M 1\n", r"separated by commas; its columns are id;cluster"),
        ("", "has no column id and no column cluster"),
    ],
)
def test_tables_of_members_that_cannot_be_used_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(text)
    with pytest.raises(ObservationFormatError, match=words):
        read_membership(path, IDS)
    with pytest.raises(MissingInputError, match="no such table of members"):
        read_membership(tmp_path / "none.csv", IDS)


@pytest.mark.parametrize("count", [1, 40])
def test_the_figure_of_metallicities_has_room_for_any_number_of_clusters(count: int) -> None:
    rows = [{"cluster": f"NGC {k}", "n": 9, "feh": -2.0 + 0.05 * k, "known": -2.0 + 0.04 * k} for k in range(count)]
    columns = [Column(name) for name in ("cluster", "n", "feh", "feh_error", "known", "known_error", "std")]
    drawn = figures.metallicities(table("m", "c", columns, rows))
    drawn.draw_without_rendering()
    (axes,) = drawn.axes
    legend = axes.get_legend()
    assert legend is not None
    assert len(legend.get_texts()) == count
    for box in (legend.get_window_extent(), axes.get_tightbbox()):
        assert box is not None
        assert box.y0 >= 0
        assert box.y1 <= drawn.bbox.height
        assert box.x1 <= drawn.bbox.width + 2.0  # pixels
    assert axes.get_window_extent().height > 0.6 * drawn.bbox.height
