"""How often clean spectra are masked, and how many spikes are found: `python -m benchmarks.cosmics reference.npz`.

The templates' normalised fluxes (`wl`, `norm`, as in the reference grid) are broadened to a resolution, averaged over
pixels and given noise; then a hundred pixels are raised by a multiple of it.
"""

import argparse

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.kernels.forward import ForwardModel
from starnet_hpc.kernels.interpolate import CubicSpline
from starnet_hpc.observe.cosmics import cosmic_spikes

C_KMS = 299_792.458
LOW, HIGH = 4845.0, 5385.0
SETUPS = {
    "R = 47,000, 0.0142 A (UVES)": (47_000, 0.0142, 0.0),
    "R = 47,000, 0.01 A": (47_000, 0.01, 0.0),
    "R = 65,000, 1.8 km/s (ESPaDOnS)": (65_000, 0.0, 1.8),
    "R = 20,000, 3.75 km/s": (20_000, 0.0, 3.75),
}
SIGMAS = (8, 10, 15, 20, 40)
SNRS = (30, 100, 200)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("templates")
    parser.add_argument("--spectra", type=int, default=40)
    chosen = parser.parse_args()
    data = np.load(chosen.templates)
    print(f"| pixels | a resolution element | masked in error | found: {', '.join(f'{k} sigma' for k in SIGMAS)} |")
    print("|---|---|---|---|")
    for name, (resolution, step, step_kms) in SETUPS.items():
        edges = np.arange(LOW, HIGH, step) if step else np.exp(np.arange(np.log(LOW), np.log(HIGH), step_kms / C_KMS))
        fwhm = float(1.0 / resolution / np.median(np.diff(edges) / edges[:-1]))
        masked, pixels, found = _trials(data["wl"], data["norm"], edges, resolution, fwhm, chosen.spectra)
        print(f"| {name} | {fwhm:.1f} | {masked / pixels:.0e} | {', '.join(f'{100 * f:.0f} %' for f in found)} |")


def _trials(
    wavelength: NDArray[np.float64],
    fluxes: NDArray[np.uint16],
    edges: NDArray[np.float64],
    resolution: float,
    fwhm: float,
    count: int,
) -> tuple[int, int, NDArray[np.float64]]:
    """Return pixels masked in clean spectra, pixels in all, and the share of spikes found for each strength."""
    generator = np.random.default_rng(1)
    grid = np.exp(np.arange(np.log(wavelength[0]), np.log(wavelength[-1]), 1.0 / C_KMS))
    model = ForwardModel(grid, edges[:-1], edges[1:], C_KMS / resolution / np.sqrt(8 * np.log(2)))
    spline = CubicSpline(wavelength.astype(np.float64), grid)
    masked = pixels = 0
    hits, spikes = np.zeros(len(SIGMAS)), 0
    for row in generator.choice(len(fluxes), count, replace=False):
        template = spline(fluxes[row] / 65_535).astype(np.float32)
        vsini, vrad = generator.uniform(0, 8), generator.uniform(-100, 100)
        clean = model.observe(template, vsini=vsini, epsilon=0.6, vrad=vrad).astype(np.float64)
        usable = np.ones(clean.size, dtype=bool)
        for snr in SNRS:
            noisy = clean + generator.normal(0.0, 1.0 / snr, clean.size)
            masked += int(np.count_nonzero(cosmic_spikes(noisy, usable, fwhm)))
            pixels += clean.size
            places = generator.choice(np.arange(20, clean.size - 20, 40), 100, replace=False)
            spikes += places.size
            for k, sigmas in enumerate(SIGMAS):
                hit = noisy.copy()
                hit[places] += sigmas / snr
                hits[k] += np.count_nonzero(cosmic_spikes(hit, usable, fwhm)[places])
    return masked, pixels, hits / spikes


if __name__ == "__main__":
    main()
