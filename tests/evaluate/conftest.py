"""One run with its report, which all tests may look at; none may change it."""

from collections.abc import Iterator

import pytest

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.evaluate import evaluate
from starnet_hpc.evaluate.document import Picture
from tests.evaluate.fake_run import Recipe, build_run

SUN = {
    "id": "Sun <G2V>",
    "teff": 5771.0,
    "e_teff": 1.0,
    "logg": 4.438,
    "feh": 0.03,
    "afe": 0.0,
    "vsini": 1.6,
    "vrad": 0.0,
}
BLANK = {"png": b"\x89PNG\r\n\x1a\n" + bytes(20), "pdf": b"%PDF-"}
COOL = {"id": "alfCet", "teff": 3796.0, "e_teff": 65.0, "logg": 0.68, "feh": -0.45}


@pytest.fixture(scope="session")
def reported_run(tmp_path_factory: pytest.TempPathFactory) -> ExperimentConfig:
    recipe = Recipe(
        n_survey=150,
        stars=(SUN, COOL),
        scale={"logg": 0.5},
        worse={"afe": 6.0},
        bias={"vrad": 0.6},
        failed_test=(3, 5),
        failed_survey=(20,),
    )
    config = build_run(tmp_path_factory.mktemp("run"), recipe, evaluate={"sigma_limits": {"teff": 100.0}})
    assert evaluate(config) == config.run_dir / "report.html"
    return config


@pytest.fixture(scope="module")
def undrawn_module() -> Iterator[None]:
    """Figures cost most of the time, and some tests are not about them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Picture, "render", lambda _: BLANK)
        yield


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for a single test."""
    monkeypatch.setattr(Picture, "render", lambda _: BLANK)
