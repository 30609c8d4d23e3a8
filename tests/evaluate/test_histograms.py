import numpy as np
import pytest

from starnet_hpc.evaluate import histograms
from starnet_hpc.evaluate.document import Picture
from starnet_hpc.evaluate.figures import histograms as figures
from starnet_hpc.evaluate.sample import LabelColumns, Sample


def sample() -> Sample:
    """Residuals are Gaussian about 20 K with 50 K, but for ten that are far off; vrad has no usable prediction."""
    generator = np.random.Generator(np.random.Philox(8))
    truth = 4000.0 + 3000.0 * generator.random(4000)
    value = truth + 20.0 + 50.0 * generator.standard_normal(4000)
    value[:10] = truth[:10] + 3000.0
    value[10:20] = np.nan
    sigma, nothing = np.full(4000, 50.0), np.full(4000, np.nan)
    predicted = {"teff": LabelColumns(value, sigma, sigma, sigma), "vrad": LabelColumns(*[nothing] * 4)}
    return Sample(predicted, {"teff": truth, "vrad": truth * 0}, {}, np.full(4000, 100.0))


def test_histograms_hold_every_residual_and_tell_median_and_scatter() -> None:
    found = histograms.residuals("h", "c", sample())
    rows = found.where(label="teff")
    assert rows.numbers("n").sum() == rows.rows[0]["n_all"] == 3990
    assert rows.rows[-1]["n"] >= 10  # what is beyond the axis is in its last bin
    first = rows.rows[0]
    assert float(first["median"]) == pytest.approx(20.0, abs=4 * float(first["median_error"]))
    assert float(first["robust_std"]) == pytest.approx(50.0, abs=4 * float(first["robust_std_error"]))
    assert float(first["std"]) > 2 * float(first["robust_std"])  # ten far ones
    middle = 0.5 * (rows.numbers("low") + rows.numbers("high"))
    expected = 3980 * 0.5 * 50.0 * 10 / 40 / 50.0  # bins are a quarter of sigma wide; density 0.4 at the peak
    assert rows.numbers("n")[np.argmin(np.abs(middle - 20.0))] == pytest.approx(0.8 * expected, rel=0.2)
    assert np.isnan(float(found.where(label="vrad").rows[0]["median"]))


def test_histograms_can_be_drawn() -> None:
    assert Picture(histograms.residuals("h", "c", sample()), figures.residuals).render()["png"].startswith(b"\x89PNG")
