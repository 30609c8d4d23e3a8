"""Speed and accuracy of the augmentation, against the same made from libraries, in one run on one core.

    python -m benchmarks.augment [--templates reference.npz] [--count 200] [--draws 200]
        [--resolution-from 20000 --resolution-to 47000]

From 28,501 native samples to 39,436 pixels, vsini uniform in 0 to 50 km/s. Templates come from an .npz with `wl`
(angstrom) and `norm` (65,535 x flux / continuum, [templates, samples]); without one, a forest of lines is made up.
With the last two options resolution changes along the wavelengths, which the library route cannot do; otherwise it is
47,000. The library route needs `pip install spectres==2.2.2`; without it only our own figures appear.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[variable] = "1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.instruments import Instrument, build_instrument, load_instrument
from starnet_hpc.kernels.broadening import convolve, spline_kernel
from starnet_hpc.kernels.continuum import SegmentContinuum
from starnet_hpc.kernels.forward import ForwardModel, add_noise, median
from starnet_hpc.kernels.half import to_half
from starnet_hpc.kernels.interpolate import CubicSpline
from starnet_hpc.kernels.linespread import VaryingGaussian
from starnet_hpc.kernels.pixels import PixelIntegrals, doppler_steps
from starnet_hpc.kernels.random import normals, stream
from starnet_hpc.kernels.smoothing import SmoothContinuum
from tests.kernels.reference import observed

try:
    from benchmarks.library_route import LibraryRoute
except ModuleNotFoundError as error:
    if error.name != "spectres":
        raise
    LibraryRoute = None  # type: ignore[assignment, misc]

Array = NDArray[Any]

C = 299_792.458
NATIVE = np.linspace(4830.0, 5400.0, 28_501)
KEY = stream(0, "benchmark")


class Kernels:
    """Our route, and its steps one by one."""

    def __init__(self, native: Array, instrument: Instrument) -> None:
        low, high = instrument.template_range(vrad_max=150, vsini_max=50)
        self.ln_step = float((np.diff(native) / native[:-1]).min())
        count = int(np.ceil(np.log(high / low) / self.ln_step)) + 1
        grid = np.exp(np.linspace(np.log(low), np.log(high), count))
        self.ln_step = float(np.log(high / low) / (count - 1))
        self.spline = CubicSpline(native, grid)
        self.sigma = instrument.narrowest_sigma_kms
        self.forward = ForwardModel(grid, instrument.lower, instrument.upper, instrument.arms)
        self.varying: VaryingGaussian | None = None
        if instrument.widest_sigma_kms > self.sigma:
            (_, spread), ends = instrument.arms[0], (instrument.lower[0], instrument.upper[-1])
            self.varying = VaryingGaussian(spread, spread.highest, grid, *ends)
            lacking = np.sqrt(np.maximum((C / instrument.resolution) ** 2 / (8 * np.log(2)) - self.sigma**2, 0.0))
            self.varying_taps = float((2 * 4.75 * lacking / (self.ln_step * C) + 1).mean())
        self.pixels = PixelIntegrals(instrument.lower, instrument.upper, float(np.log(grid[0])), self.ln_step)
        self.continuum = SegmentContinuum(instrument.wavelength, instrument.strong_lines())
        self.running_mean = SmoothContinuum(instrument.wavelength, instrument.strong_lines())

    def augment(self, template: Array, draw: "Draw", row: int) -> Array:
        """Return one spectrum as it is stored."""
        clean = self.forward.observe(template, vsini=draw.vsini, epsilon=draw.epsilon, vrad=draw.vrad)
        noisy = add_noise(clean, draw.noise, KEY, row)
        return to_half(noisy / self.continuum.fit(noisy))

    def steps(self, template: Array, draw: "Draw", row: int, clock: "Clock") -> None:
        """Do the same with the time of each step taken."""
        with clock("kernel"):
            taps = spline_kernel(self.sigma, draw.vsini, draw.epsilon, self.ln_step * C)
        with clock("convolution"):
            coefficients = convolve(template, taps)
        shift, begin = doppler_steps(draw.vrad, self.ln_step), 0
        if self.varying:
            with clock("varying width"):
                coefficients, begin = self.varying(coefficients, shift)
        with clock("pixels"):
            clean = self.pixels.mean_flux(coefficients, shift + begin)
        with clock("median"):
            level = median(clean)
        with clock("noise"):
            noisy = clean + np.float32(draw.noise * level) * normals(KEY, row, clean.size)
        with clock("continuum"):
            continuum = self.continuum.fit(noisy)
        with clock("division, float16"):
            to_half(noisy / continuum)
        with clock("running mean"):
            self.running_mean.fit(noisy)


class Draw:
    """What is drawn for one spectrum."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.vsini, self.epsilon = rng.uniform(0, 50), rng.uniform(0, 1)
        self.vrad, self.noise = rng.uniform(-150, 150), rng.uniform(0, 0.07)


class Clock:
    """Times by name: this thread's own, so that a busy machine does not count against whoever takes longer."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        start = time.thread_time()
        yield
        self.times.setdefault(name, []).append(1e3 * (time.thread_time() - start))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--templates", type=Path, help=".npz with wl and norm; made up by default")
    parser.add_argument("--count", type=int, default=200, help="spectra to time (default 200)")
    parser.add_argument("--draws", type=int, default=200, help="spectra compared with truth (default 200; 0: none)")
    parser.add_argument("--resolution-from", type=float, default=47_000, help="lambda / FWHM of the first pixel")
    parser.add_argument("--resolution-to", type=float, default=47_000, help="lambda / FWHM of the last pixel")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", "Input data contains invalid values")  # astropy, at each spectrum's NaN
    cold, warm = start_of_a_worker()
    instrument = with_resolution(arguments.resolution_from, arguments.resolution_to)
    native, fluxes = read_templates(arguments.templates) if arguments.templates else (NATIVE, made_up_templates())
    route = None
    if instrument.widest_sigma_kms > instrument.narrowest_sigma_kms:
        print("No library route: it knows constant widths only.\n")
    elif LibraryRoute is None:
        print("No library route: it needs spectres. `pip install spectres==2.2.2`, and run this again.\n")
    else:
        route = LibraryRoute(native, instrument.wavelength, instrument.strong_lines(), instrument.widest_sigma_kms)
    ours = Kernels(native, instrument)
    speed(ours, route, fluxes, arguments.count)
    print(
        f"\nA worker's first spectrum, imports included: {cold:.1f} s (compiling), then {warm:.1f} s (from the cache)."
    )
    if arguments.draws:
        accuracy(ours, route, native, fluxes, instrument, arguments.draws)


def with_resolution(first: float, last: float) -> Instrument:
    """Return the paper's instrument with another resolution at its first and last pixel."""
    papers = load_instrument("uves_4835_5395")
    table = [[papers.wavelength[0], first], [papers.wavelength[-1], last]]
    return build_instrument(type(papers.config).model_validate({**papers.config.model_dump(), "resolution": table}))


# --- speed ------------------------------------------------------------------------------------------------------------


def speed(ours: Kernels, route: "LibraryRoute | None", fluxes: list[Array], count: int) -> None:
    """Print the time of each step, what it could be at best, and the ratio to the library route."""
    rng = np.random.default_rng(1)
    templates = [ours.spline(flux).astype(np.float32) for flux in fluxes]
    draws = [Draw(rng) for _ in range(count)]
    clock = Clock()
    ours.steps(templates[0], draws[0], 0, Clock())  # compile
    if route:
        library(route, fluxes[0], draws[0], rng, Clock())
    # By turns, so that a neighbour on this machine disturbs all alike; ten at a time, so that caches are warm.
    for turn in np.array_split(np.arange(count), max(1, count // 10)):
        for row in turn:
            with clock("ours"):
                ours.augment(templates[row % len(templates)], draws[row], row)
        for row in turn:
            ours.steps(templates[row % len(templates)], draws[row], row, clock)
        for row in turn if route else ():
            library(route, fluxes[row % len(fluxes)], draws[row], rng, clock)
    typical = {name: float(np.median(times)) for name, times in clock.times.items()}
    bounds = lower_bounds(ours, draws, templates[0].size)
    flops, bandwidth = peak_rates()
    print(f"| step | ms | Mop | MB | bound, ms ({flops:.0f} Gop/s, {bandwidth:.0f} GB/s) | off by |")
    print("|---|---|---|---|---|---|")
    best = 0.0
    for name, (operations, moved) in bounds.items():
        bound = max(operations / flops, moved / bandwidth) / 1e6
        best += bound
        print(
            f"| {name} | {typical[name]:.3f} | {operations / 1e6:.2f} | {moved / 1e6:.2f} | {bound:.3f} "
            f"| {typical[name] / bound:.1f} |"
        )
    print(f"| all, in one go | {typical['ours']:.3f} | | | {best:.3f} | {typical['ours'] / best:.1f} |")
    print(f"\nOurs: {typical['ours']:.3f} ms a spectrum, {1e3 / typical['ours']:.0f} spectra a second on one core.")
    print(f"augment.continuum: smooth takes {typical['running mean']:.3f} ms instead of {typical['continuum']:.3f}.")
    if route:
        print(
            f"Library route: {typical['library']:.2f} ms ({typical['library i-iv']:.2f} to the pixels, "
            f"{typical['library v']:.2f} noise, {typical['library vi']:.2f} continuum). "
            f"Ratio: {typical['library'] / typical['ours']:.1f}."
        )


def library(route: "LibraryRoute", flux: Array, draw: Draw, rng: np.random.Generator, clock: Clock) -> None:
    with clock("library"):
        with clock("library i-iv"):
            clean = route.observe(flux, draw.vsini, draw.epsilon, draw.vrad)
        with clock("library v"):
            noisy = route.add_noise(clean, draw.noise, rng)
        with clock("library vi"):
            normalised = noisy / route.continuum(noisy)
        normalised.astype(np.float16)


def lower_bounds(ours: Kernels, draws: list[Draw], points: int) -> dict[str, tuple[float, float]]:
    """Return, for each step, the operations that its method needs and the bytes that it must read and write.

    Operations are those of one number; a vector instruction does 4 to 16 of them at once, a multiply-add counts 2.
    """
    pixels = 39_436
    taps = float(np.median([spline_kernel(ours.sigma, d.vsini, d.epsilon, ours.ln_step * C).size for d in draws]))
    nodes = float(np.median([16 + 4 * d.vsini / ours.sigma for d in draws]))
    return {
        "kernel": (0.5 * taps * nodes * 20 + 25 * 2 * taps, 8 * taps),  # an exponential: about 15
        "convolution": (2 * taps * points, 8 * points),
        **({"varying width": (2 * 2 * ours.varying_taps * points, 8 * points)} if ours.varying else {}),
        "pixels": (25 * points + 12 * pixels, 4 * points + 5 * 16 * points + 8 * 4 * pixels),
        "median": (4 * pixels, 3 * 4 * pixels),
        "noise": (20 * pixels + 30 * pixels + 2 * pixels, 3 * 4 * pixels),  # Philox, Box-Muller, sum
        "continuum": (2 * np.log2(706) * pixels + 8 * pixels + 10 * pixels, 8 * 4 * pixels),  # sort, sums, spline
        "division, float16": (12 * pixels, 14 * pixels),
    }


def peak_rates() -> tuple[float, float]:
    """Return what this core can do: 1e9 float32 operations a second (matrix product), GB/s copied within its cache."""
    a = np.ones((384, 384), dtype=np.float32)
    x, y = np.ones(40_000, dtype=np.float32), np.empty(40_000, dtype=np.float32)
    product = fastest(lambda: a @ a)
    copied = fastest(lambda: np.copyto(y, x))
    return 2 * 384**3 / product / 1e9, 2 * x.nbytes / copied / 1e9


def fastest(work: Callable[[], object]) -> float:
    clock = Clock()
    for _ in range(50):
        with clock("work"):
            work()
    return min(clock.times["work"]) / 1e3


def start_of_a_worker() -> tuple[float, float]:
    """Return the time from the start of Python to its first spectrum [s], without compiled kernels and with them."""
    with tempfile.TemporaryDirectory() as cache:
        times = []
        for _ in range(2):
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-c", FIRST_SPECTRUM],
                check=True,
                env=os.environ | {"NUMBA_CACHE_DIR": cache, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            times.append(time.perf_counter() - start)
    return times[0], times[1]


FIRST_SPECTRUM = """
import numpy as np
from starnet_hpc.instruments import load_instrument
from starnet_hpc.kernels.continuum import SegmentContinuum
from starnet_hpc.kernels.forward import ForwardModel, add_noise
from starnet_hpc.kernels.half import to_half
instrument = load_instrument("uves_4835_5395")
grid = np.exp(np.linspace(np.log(4830.0), np.log(5400.0), 28501))
forward = ForwardModel(grid, instrument.lower, instrument.upper, instrument.arms)
flux = forward.observe(np.ones(grid.size, dtype=np.float32), vsini=10.0, epsilon=0.6, vrad=20.0)
flux = add_noise(flux, 0.02, (1, 2), 3)
to_half(flux / SegmentContinuum(instrument.wavelength, instrument.strong_lines()).fit(flux))
"""


# --- accuracy ---------------------------------------------------------------------------------------------------------


def accuracy(
    ours: Kernels,
    route: "LibraryRoute | None",
    native: Array,
    fluxes: list[Array],
    instrument: Instrument,
    draws: int,
) -> None:
    """Print errors against the truth: the cubic interpolant of the samples, convolved and averaged in float64."""
    errors: dict[str, list[tuple[float, float]]] = {}
    rng = np.random.default_rng(2)

    def varying(wavelength: Array) -> Array:
        at = np.interp(wavelength, instrument.wavelength, instrument.resolution)
        return C / at / np.sqrt(8 * np.log(2))

    for number in range(draws):
        draw, flux = Draw(rng), fluxes[number % len(fluxes)]
        expected = observed(
            native,
            flux,
            instrument.lower,
            instrument.upper,
            sigma=varying if ours.varying else instrument.widest_sigma_kms,
            vsini=draw.vsini,
            epsilon=draw.epsilon,
            vrad=draw.vrad,
        )
        template = ours.spline(flux).astype(np.float32)
        found = {
            "ours": ours.forward.observe(template, vsini=draw.vsini, epsilon=draw.epsilon, vrad=draw.vrad),
        }
        if route:
            found["library route"] = route.observe(flux, draw.vsini, draw.epsilon, draw.vrad)
        for name, seen in found.items():
            off = np.abs(seen - expected) / np.median(expected)
            errors.setdefault(name, []).append((off.max(), float(np.median(off))))
    print(f"\nErrors over the median flux, steps i-iv with the reading of the samples, {draws} spectra:\n")
    print("| route | largest in the median spectrum | largest in the worst | median pixel of the median spectrum |")
    print("|---|---|---|---|")
    for name, pairs in errors.items():
        largest, middle = np.array(pairs).T
        print(f"| {name} | {np.median(largest):.1e} | {largest.max():.1e} | {np.median(middle):.1e} |")


# --- templates --------------------------------------------------------------------------------------------------------


def read_templates(path: Path) -> tuple[Array, list[Array]]:
    with np.load(path) as data:
        rows = data["norm"]
        chosen = np.linspace(0, len(rows) - 1, min(len(rows), 200)).astype(int)
        return data["wl"].astype(np.float64), [row / 65535.0 for row in rows[chosen]]


def made_up_templates(count: int = 20) -> list[Array]:
    """Return forests of 1,500 lines as narrow as those of cool stars."""
    rng = np.random.default_rng(3)
    fluxes = [np.ones(NATIVE.size) for _ in range(count)]
    for flux in fluxes:
        for centre in rng.uniform(4830, 5400, 1500):
            near = slice(*np.searchsorted(NATIVE, [centre - 0.5, centre + 0.5]))
            depth, sigma = rng.uniform(0.02, 0.9), rng.uniform(0.025, 0.05)
            flux[near] *= 1 - depth * np.exp(-0.5 * ((NATIVE[near] - centre) / sigma) ** 2)
    return fluxes


if __name__ == "__main__":
    main()
