"""How well velocities are found, and how fast: `python -m benchmarks.velocity reference.npz`.

Templates (`wl`, `norm`, `par` with Teff, log g, [Fe/H] and [alpha/Fe] first, as in the reference grid) are seen by an
instrument with velocities up to 150 km/s, S/N from 14 to 100 and rotation up to 50 km/s. Their velocities are measured
against the few that `predict` would choose, which are not among them. Beside it: the error that the noise alone leaves.
"""

import argparse
import time
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.config import AugmentConfig, InstrumentConfig
from starnet_hpc.instruments import Instrument, build_instrument, continuum_for
from starnet_hpc.kernels.forward import ForwardModel, add_noise
from starnet_hpc.kernels.interpolate import CubicSpline
from starnet_hpc.kernels.random import stream
from starnet_hpc.predict.templates import TEMPLATES, Templates, representatives
from starnet_hpc.predict.velocity import RestFrame

C_KMS = 299_792.458
VSINI, VRAD, SNR = 50.0, 150.0, (14.0, 100.0)
BINS = {"S/N": (14, 20, 40, 100), "v sin i": (0, 10, 30, 50), "[Fe/H]": (-3.0, -2.0, -1.0, 0.5)}

Array = NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("templates")
    parser.add_argument("--spectra", type=int, default=1000)
    parser.add_argument(
        "--range", type=float, nargs=2, default=(5100.0, 5250.0), help="angstrom, within the templates'"
    )
    parser.add_argument("--resolution", type=float, default=47_000.0)
    parser.add_argument("--step", type=float, default=0.0142, help="of the pixels, angstrom")
    parser.add_argument("--chosen", type=int, default=TEMPLATES, help="templates to correlate with")
    chosen = parser.parse_args()
    arm = {"start": chosen.range[0], "stop": chosen.range[1], "step": chosen.step}
    described = {"name": "benchmark", "arms": [arm], "resolution": chosen.resolution, "strong_lines": "paper"}
    instrument = build_instrument(InstrumentConfig.model_validate(described))
    with np.load(chosen.templates) as file:
        data = dict(file)  # an array is unpacked each time that the file is asked for it
    rows = representatives(data["par"][:, :4].astype(np.float64), chosen.chosen)
    low, high = instrument.template_range(vrad_max=2.0, vsini_max=VSINI)
    frame = RestFrame(instrument, AugmentConfig(vsini_max=VSINI), _templates(data, rows, low, high), 500.0)
    others = np.setdiff1d(np.arange(len(data["par"])), rows)
    _say(*_trials(data, others, instrument, frame, chosen.spectra))


def _templates(data: dict[str, Array], rows: NDArray[np.int64], low: float, high: float) -> Templates:
    native = data["wl"].astype(np.float64)
    grid = _grid(native, low, high)
    spline = CubicSpline(native, grid)
    flux = np.stack([spline(data["norm"][row]) for row in rows]).astype(np.float32)
    return Templates(flux, grid, None, "")


def _grid(native: Array, low: float, high: float) -> Array:
    step = float((np.diff(native) / native[:-1]).min())
    return np.asarray(np.exp(np.arange(np.log(max(low, native[0])), np.log(min(high, native[-1])), step)))


def _trials(
    data: dict[str, Array], rows: NDArray[np.int64], instrument: Instrument, frame: RestFrame, count: int
) -> tuple[dict[str, Array], dict[str, Array], float]:
    """Return S/N, vsini and [Fe/H] of each spectrum; residual, error and error of the noise; and ms a spectrum."""
    rng, key = np.random.default_rng(1), stream(1, "benchmarks", "velocity")
    native = data["wl"].astype(np.float64)
    low, high = instrument.template_range(vrad_max=VRAD, vsini_max=VSINI)
    grid = _grid(native, low, high)
    spline, model = CubicSpline(native, grid), ForwardModel(grid, instrument.lower, instrument.upper, instrument.arms)
    continuum = continuum_for(instrument, frame.augment)
    known: dict[str, list[float]] = {name: [] for name in BINS}
    found: dict[str, list[float]] = {name: [] for name in ("residual", "error", "noise")}
    frame.shifted(np.ones((1, instrument.wavelength.size), dtype=np.float32))
    spent = 0.0
    for k, row in enumerate(rng.choice(rows, count).tolist()):
        sharp = spline(data["norm"][row]).astype(np.float32)
        snr, vsini = float(np.exp(rng.uniform(*np.log(SNR)))), rng.uniform(0, VSINI)
        vrad, epsilon = rng.uniform(-VRAD, VRAD), rng.uniform(0, 1)
        clean, beside = (model.observe(sharp, vsini=vsini, epsilon=epsilon, vrad=v) for v in (vrad, vrad + 0.5))
        flux = add_noise(clean, 1.0 / snr, key, k)
        normalised = (flux / continuum.fit(flux))[None]
        start = time.process_time()
        _, ((kms, error),) = frame.shifted(normalised)
        spent += time.process_time() - start
        slope = (beside - clean).astype(np.float64) / 0.5
        for name, value in zip(BINS, (snr, vsini, float(data["par"][row, 2])), strict=True):
            known[name].append(value)
        # Bouchy et al. (2001, A&A 374, 733): what a perfect template could do.
        limit = np.median(clean) / snr / np.sqrt(np.square(slope).sum())
        for name, value in zip(found, (kms - vrad, error, limit), strict=True):
            found[name].append(value)
    arrays = ({name: np.array(values) for name, values in part.items()} for part in (known, found))
    return *arrays, 1e3 * spent / count


def _say(known: dict[str, Array], found: dict[str, Array], ms: float) -> None:
    print(f"{ms:.1f} ms of CPU a spectrum\n")
    print("| spectra | N | median residual, km/s | median error | of the noise alone | within 1, 2, 3 sigma [%] |")
    print("|---|---|---|---|---|---|")
    groups = {"all": np.ones(known["S/N"].size, dtype=bool)}
    for name, edges in BINS.items():
        for low, high in pairwise(edges):
            groups[f"{name} {low:g} to {high:g}"] = (known[name] >= low) & (known[name] <= high)
    for name, chosen in groups.items():
        residual, error, limit = (np.abs(values[chosen]) for values in found.values())
        shares = ", ".join(f"{100 * np.mean(residual < k * error):.0f}" for k in (1, 2, 3))
        middles = f"{np.median(residual):.3f} | {np.median(error):.3f} | {np.median(limit):.3f}"
        print(f"| {name} | {residual.size} | {middles} | {shares} |")


if __name__ == "__main__":
    main()
