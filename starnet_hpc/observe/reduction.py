"""From one observed spectrum to one row of `survey.zarr`: the same pixels, continuum and masks as in training."""

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.config import AugmentConfig, InstrumentConfig
from starnet_hpc.errors import CoverageError, ResolutionError
from starnet_hpc.flags import Flag
from starnet_hpc.instruments import C_KMS, Continuum, Instrument, build_instrument, continuum_for
from starnet_hpc.kernels.rebin import pixel_edges, rebin
from starnet_hpc.observations import ObservedSpectrum
from starnet_hpc.observe.cosmics import cosmic_spikes
from starnet_hpc.observe.quality import snr_from_errors, snr_from_scatter

MAX_BAD_SHARE = 0.25
"""A pixel of which more than this share rests on bad or missing observed pixels is masked."""
_SAMPLES_PER_FWHM = 2.0
"""Observed spectra need at least this many pixels a resolution element, as the sampling theorem asks."""
_STRETCH = 128
"""Observed pixels in a stretch whose typical width must not be too large."""
_PARTIAL = 0.1
"""Share of masked pixels above which a row is flagged: training masks at most a tenth."""
_MARGIN = 8
"""Observed pixels beyond the instrument's range that still shape the flux inside it."""


@dataclass(frozen=True)
class SurveyRow:
    """One row of the survey store."""

    flux: NDArray[np.float32]
    """Flux over continuum [pixels]; 0 where masked."""
    snr: float
    """Signal-to-noise ratio a pixel; NaN if unknown."""
    flags: Flag
    masked_fraction: float
    """Share of the pixels outside telluric windows that are masked."""
    cosmics: int = 0
    """Observed pixels, within the instrument's range, that cosmic particles spoilt."""


@dataclass(frozen=True)
class Found:
    """An observed spectrum on the instrument's pixels, before its continuum is removed; arrays [pixels]."""

    flux: NDArray[np.float32]
    """In units of its median."""
    continuum: NDArray[np.float32]
    """In the same unit; NaN where nothing can be told."""
    usable: NDArray[np.bool_]
    snr: float
    """Signal-to-noise ratio a pixel; NaN if unknown."""
    cosmics: int
    """Observed pixels, within the instrument's range, that cosmic particles spoilt."""


@dataclass(frozen=True)
class Reduction:
    """What all spectra of a survey go through."""

    instrument: Instrument
    augment: AugmentConfig

    def row(self, spectrum: ObservedSpectrum, snr: float, *, cosmics: bool = True) -> SurveyRow:
        """Return the row of a spectrum.

        Args:
            spectrum: with wavelengths in air.
            snr: signal-to-noise ratio a pixel that the user gives; NaN takes the file's, or an estimate.
            cosmics: whether to mask pixels that cosmic particles spoilt.

        Raises:
            CoverageError: not one pixel of the instrument is covered.
            ResolutionError: its pixels are too wide for the instrument.
        """
        found = self.found(spectrum, snr, cosmics=cosmics)
        normalised = np.divide(found.flux, found.continuum, out=np.zeros_like(found.flux), where=found.usable)
        return self._masked(normalised, found.usable, found.snr, found.cosmics)

    def found(self, spectrum: ObservedSpectrum, snr: float, *, cosmics: bool = True) -> Found:
        """Return a spectrum on the instrument's pixels beside its continuum; arguments and errors as for `row`."""
        observed = self._part(spectrum)
        flux, usable, hits = self._on_pixels(observed, cosmics)
        continuum = self._continuum.fit(flux, usable)
        return Found(flux, continuum, usable & (continuum > 0), self._snr(observed, snr), hits)

    def nothing(self, flag: Flag) -> SurveyRow:
        """Return the row of a spectrum that cannot be used: all zeros, with a flag that says why."""
        return SurveyRow(np.zeros(self.instrument.wavelength.size, dtype=np.float32), float("nan"), flag, 1.0)

    def _part(self, spectrum: ObservedSpectrum) -> ObservedSpectrum:
        """Return the pixels around the instrument's range, with what says that a pixel is bad put together."""
        low, high = self.instrument.lower[0], self.instrument.upper[-1]
        start = max(int(np.searchsorted(spectrum.wavelength, low)) - _MARGIN, 0)
        stop = int(np.searchsorted(spectrum.wavelength, high)) + _MARGIN
        wavelength = spectrum.wavelength[start:stop]
        if np.count_nonzero((wavelength > low) & (wavelength < high)) < _MARGIN:
            raise CoverageError(
                f"{spectrum.source}: covers {spectrum.wavelength[0]:.1f} to {spectrum.wavelength[-1]:.1f} A, nothing "
                f"of the instrument's {low:.1f} to {high:.1f} A; is it another arm, or another instrument?"
            )
        self._check_widths(wavelength, spectrum.source)
        flux, error = spectrum.flux[start:stop], None
        bad = spectrum.bad[start:stop] | ~np.isfinite(flux)
        if spectrum.error is not None:
            error = spectrum.error[start:stop]
            bad = bad | ~(error > 0)  # NaN, too
        return replace(spectrum, wavelength=wavelength, flux=flux, error=error, bad=bad)

    def _check_widths(self, wavelength: NDArray[np.float64], source: str) -> None:
        """Raise if pixels [n, angstrom] are too wide for the resolution, somewhere along a whole stretch of them."""
        step = C_KMS * np.diff(wavelength) / wavelength[:-1]
        resolution = np.interp(wavelength[:-1], self.instrument.wavelength, self.instrument.resolution)
        needed = C_KMS / resolution / _SAMPLES_PER_FWHM
        # Medians of stretches, since one wide step is a gap.
        stretches = np.array_split(np.arange(step.size), max(1, step.size // _STRETCH))
        worst = max(stretches, key=lambda part: float(np.median(step[part] / needed[part])))
        if np.median(step[worst] / needed[worst]) > 1.0:
            raise ResolutionError(
                f"{source}: pixels at {np.median(wavelength[worst]):.1f} A are {np.median(step[worst]):.2f} km/s wide, "
                f"but the instrument's resolution needs {np.median(needed[worst]):.2f} km/s or less; observe with a "
                f"matching instrument in the configuration"
            )

    def _on_pixels(
        self, observed: ObservedSpectrum, cosmics: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], int]:
        """Return flux [pixels] in units of its median, which pixels may be used, and how many cosmics have spoilt."""
        edges, place = pixel_edges(observed.wavelength)
        flux = np.zeros(edges.size - 1)
        bad = np.ones(edges.size - 1, dtype=bool)  # gaps stay bad
        flux[place], bad[place] = np.where(observed.bad, 0.0, observed.flux), observed.bad
        hits = 0
        if cosmics:
            # Before rebinning, where a particle's one or two pixels are still one or two.
            fwhm = np.ones(flux.size)  # of gaps, whatever it may be
            resolution = np.interp(observed.wavelength, self.instrument.wavelength, self.instrument.resolution)
            fwhm[place] = observed.wavelength / resolution / np.diff(edges)[place]
            hit = cosmic_spikes(flux, ~bad, fwhm)
            hits = int(np.count_nonzero(hit))
            bad |= hit
        mean, share = rebin(edges, flux, bad, self.instrument.lower, self.instrument.upper)
        usable = (share <= MAX_BAD_SHARE) & (mean > 0)
        # In units of the median, since float32 has no room for every unit of flux.
        if usable.any():
            mean /= np.median(mean[usable])
        return mean.astype(np.float32), usable, hits

    def _snr(self, observed: ObservedSpectrum, given: float) -> float:
        good = ~observed.bad
        estimates = [given, observed.snr if observed.snr is not None else float("nan")]
        if observed.error is not None:
            estimates.append(snr_from_errors(observed.flux, observed.error, good))
        # One after the other, the costly one last.
        known = next((snr for snr in estimates if np.isfinite(snr) and snr > 0), None)
        return known if known is not None else snr_from_scatter(observed.flux, good)

    def _masked(self, normalised: NDArray[np.float32], usable: NDArray[np.bool_], snr: float, hits: int) -> SurveyRow:
        if not usable.any():
            return self.nothing(Flag.BAD_INPUT | Flag.PARTIAL_COVERAGE)
        flux = np.where(usable & ~self._tellurics, normalised, np.float32(0.0))
        masked = 1.0 - np.count_nonzero(usable & ~self._tellurics) / max(int(np.count_nonzero(~self._tellurics)), 1)
        flags = Flag(0)
        if masked > _PARTIAL:
            flags |= Flag.PARTIAL_COVERAGE
        if not np.isfinite(snr):
            flags |= Flag.UNKNOWN_SNR
        return SurveyRow(flux, snr, flags, masked, hits)

    @cached_property
    def _tellurics(self) -> NDArray[np.bool_]:
        return self.instrument.tellurics()

    @cached_property
    def _continuum(self) -> Continuum:
        return continuum_for(self.instrument, self.augment)


@lru_cache(maxsize=2)
def reduction_for(instrument: InstrumentConfig, augment: AugmentConfig) -> Reduction:
    """Return this process's reduction for a configuration; its tables cost more than a spectrum."""
    return Reduction(build_instrument(instrument), augment)
