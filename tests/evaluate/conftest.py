"""One run with its report, which all tests may look at; none may change it."""

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


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures cost most of the time, and some tests are not about them."""
    blank = b"\x89PNG\r\n\x1a\n" + bytes(20)
    monkeypatch.setattr(Picture, "render", lambda _: {"png": blank, "pdf": b"%PDF-"})
