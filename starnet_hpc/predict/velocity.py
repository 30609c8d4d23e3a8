"""Velocity first: spectra are shifted to rest by cross-correlation, and networks trained near rest do the labels.

The shift is known exactly, whatever the error of the velocity that it was taken from: what is left of it is in the
spectrum, and is what networks call vrad. So the velocity of the catalogue is the sum of the two, and its error that of
the residual velocity alone. Added, not multiplied as Doppler factors: 150 and 2 km/s differ by 5e-7 km/s.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from starnet_hpc import provenance
from starnet_hpc.config import AugmentConfig, ExperimentConfig
from starnet_hpc.flags import Flag
from starnet_hpc.instruments import CONTINUUM_SETTINGS, Continuum, Instrument, continuum_for, load_instrument
from starnet_hpc.kernels.correlation import NOTHING, Velocity, VelocitySearch
from starnet_hpc.kernels.forward import ForwardModel
from starnet_hpc.kernels.linespread import FWHM_PER_SIGMA, sigma_kms
from starnet_hpc.kernels.pixels import doppler_steps
from starnet_hpc.kernels.rebin import rebin
from starnet_hpc.labels import LABELS
from starnet_hpc.networks import Member, Moments, TrainedOn
from starnet_hpc.predict.catalogue import Column
from starnet_hpc.predict.ranks import Ranks
from starnet_hpc.predict.templates import Templates, keep_templates, read_templates
from starnet_hpc.predict.units import NO_VELOCITY, member_moments

_F4 = NDArray[np.float32]
_F8 = NDArray[np.float64]

ROTATIONS = (0.0, 0.12, 0.28, 0.52, 0.9)
"""Each template is tried with these shares of `augment.vsini_max`."""
_EPSILON = 0.6
"""Limb darkening of the templates: about that of the Sun in green light."""
_ROTATION_FWHM = 1.5
"""Full width of a rotation profile at half maximum, in vsini, for that limb darkening."""
_MAX_BAD_SHARE = 0.25
"""A pixel of which more than this share rests on masked pixels is masked, as in `observe`."""
_NEAR_LIMIT = 0.02
"""Velocities within this share of the limit are near it."""
_FORMAT = 2
"""Raised when the same spectra would get other velocities, or be others at rest."""


@dataclass(frozen=True)
class RestFrame:
    """What measures velocities on an instrument's pixels and takes them out."""

    instrument: Instrument
    augment: AugmentConfig
    """The continuum and the largest vsini of the spectra that were trained on."""
    templates: Templates
    limit_kms: float

    @property
    def digest(self) -> str:
        """Digest of all that velocities are a function of, besides the spectra."""
        return provenance.digest_recipe(
            {
                "format": _FORMAT,
                "templates": self.templates.digest,
                "instrument": self.instrument.recipe(),
                "augment": self.augment.model_dump(mode="json", include={*CONTINUUM_SETTINGS, "vsini_max"}),
                "limit": self.limit_kms,
            }
        )

    def shifted(self, flux: NDArray[np.floating]) -> tuple[_F4, _F8]:
        """Return normalised spectra [rows, pixels] shifted to rest, and their velocities and errors [rows, 2], km/s.

        Both are NaN where nothing is found, or a pixel is not finite.
        """
        rest = np.full(flux.shape, np.nan, dtype=np.float32)
        velocity = np.full((len(flux), 2), np.nan)
        for row, spectrum in enumerate(flux.astype(np.float32)):
            found = self._search(spectrum, self._usable(spectrum)) if np.isfinite(spectrum).all() else NOTHING
            if np.isfinite(found.kms):
                velocity[row] = found.kms, found.error
                rest[row] = self.at_rest(spectrum, found)
        return rest, velocity

    def at_rest(self, spectrum: _F4, found: Velocity) -> _F4:
        """Return a spectrum [pixels] on the same pixels, without its velocity.

        Pixels that rest on masked ones are 0. Those from beyond the range, or from a gap, are the matching template's:
        networks have never seen the end of a range masked, and take it for a star without lines there. Where they are,
        training spectra had their continuum removed at rest, so that it is found and divided by once more.
        """
        lower, upper = self.instrument.lower, self.instrument.upper
        edges, place = _contiguous(lower, upper)
        factor = float(np.exp(doppler_steps(found.kms, 1.0)))
        whole, bad = np.zeros(edges.size - 1), np.ones(edges.size - 1, dtype=bool)  # gaps stay bad
        whole[place], bad[place] = spectrum, ~self._usable(spectrum)
        whole[bad] = 0.0
        mean, share = rebin(edges, whole, bad, lower * factor, upper * factor)
        flux = np.where(share <= _MAX_BAD_SHARE, mean, 0.0).astype(np.float32)
        covered = np.zeros(edges.size)
        covered[place + 1] = upper - lower
        covered = np.cumsum(covered)
        inside = np.interp(upper * factor, edges, covered) - np.interp(lower * factor, edges, covered)
        beyond = inside < (1.0 - _MAX_BAD_SHARE) * factor * (upper - lower)
        flux[beyond] = self._search.at_rest(found)[beyond]
        level = self._continuum.fit(flux, flux != 0.0)
        return np.divide(flux, level, out=np.zeros_like(flux), where=level > 0.0)

    def flags(self, velocity: _F8, trained_on: TrainedOn) -> NDArray[np.int32]:
        """Return the flags [rows] that velocities [rows, 2] give their rows."""
        with np.errstate(invalid="ignore"):
            doubtful = np.abs(velocity[:, 0]) > (1.0 - _NEAR_LIMIT) * self.limit_kms
            if "vrad" in trained_on.label_names:
                k = trained_on.label_names.index("vrad")
                doubtful |= velocity[:, 1] > max(abs(trained_on.label_min[k]), abs(trained_on.label_max[k]))
        return np.where(doubtful, np.int32(Flag.VELOCITY_LIMIT), np.int32(0))

    def _usable(self, spectrum: _F4) -> NDArray[np.bool_]:
        """Return the pixels [pixels] that show the star."""
        return np.asarray((spectrum != 0.0) & ~self._tellurics)

    @cached_property
    def _tellurics(self) -> NDArray[np.bool_]:
        return self.instrument.tellurics()

    @cached_property
    def _continuum(self) -> Continuum:
        return continuum_for(self.instrument, self.augment)

    @cached_property
    def _search(self) -> VelocitySearch:
        instrument, grid = self.instrument, self.templates.wavelength
        # One width everywhere: lines that are a little too sharp or too broad stay where they are.
        sigma = sigma_kms(float(np.median(instrument.resolution)))
        native = sigma_kms(self.templates.native_resolution) if self.templates.native_resolution else 0.0
        forward = ForwardModel(grid, instrument.lower, instrument.upper, sigma, native)
        spectra, widths = [], []
        for vsini in sorted({share * self.augment.vsini_max for share in ROTATIONS}):
            for flux in self.templates.flux:
                level = self._continuum.fit(forward.observe(flux, vsini=vsini, epsilon=_EPSILON, vrad=0.0))
                known = level > 0.0  # observed spectra are masked elsewhere, too
                broad = forward.broadened(flux, vsini=vsini, epsilon=_EPSILON)
                whole = np.interp(grid, instrument.wavelength[known], level[known])
                spectra.append(broad / whole.astype(np.float32))
                widths.append(np.hypot(FWHM_PER_SIGMA * sigma, _ROTATION_FWHM * vsini))
        ln_start, ln_step = float(np.log(grid[0])), float(np.log(grid[-1] / grid[0])) / (grid.size - 1)
        pixels = instrument.lower, instrument.upper
        return VelocitySearch(np.stack(spectra), np.array(widths), ln_start, ln_step, *pixels, self.limit_kms)


def rest_frame(config: ExperimentConfig) -> RestFrame:
    """Return what shifts an experiment's spectra to rest, with the templates that `keep_templates` has kept.

    Raises:
        StoreDamagedError: there are no such templates, or their file is not whole.
    """
    instrument, templates = load_instrument(config.instrument), read_templates(config)
    return RestFrame(instrument, config.augment, templates, config.predict.velocity_limit)


def wanted_rest_frame(config: ExperimentConfig, ranks: Ranks) -> RestFrame | None:
    """Return what shifts spectra to rest, the same on every rank, if the configuration wants that.

    Raises:
        MissingInputError, StoreDamagedError: as `keep_templates` and `rest_frame`.
    """
    if config.predict.radial_velocity == "network":
        return None
    ranks.first_does(keep_templates, config)
    return ranks.agree(lambda: rest_frame(config))


def moments_at_rest(
    rest: RestFrame | None,
    members: Sequence[Member],
    total_members: int,
    flux: NDArray[np.floating],
    tellurics: NDArray[np.bool_],
    *,
    batch_size: int,
    device: str,
) -> tuple[Moments, _F8]:
    """Return `member_moments` of spectra [rows, pixels] at rest, and the velocities that were taken out [rows, 2].

    With no rest frame members see spectra as they are, and there are no velocities.
    """
    velocity = NO_VELOCITY
    if rest is not None:
        flux, velocity = rest.shifted(flux)
    found = member_moments(members, total_members, flux, tellurics, batch_size=batch_size, device=device)
    if rest is not None:
        add_velocities(found, velocity, members[0].trained_on)
    return found, velocity


def add_velocities(slots: Moments, velocity: _F8, trained_on: TrainedOn) -> None:
    """Add velocities [rows, 2] to the residual ones in members' moments [members, rows, labels, 4], in place."""
    if "vrad" in trained_on.label_names:
        means = slots[:, :, trained_on.label_names.index("vrad")]
        # Slots of other ranks' members are empty, and stay so.
        means[..., 1] += np.where(means[..., 0] > 0, velocity[:, 0], 0.0)


def residuals(mean: _F8, velocity: _F8, trained_on: TrainedOn) -> _F8:
    """Return labels [rows, labels] as the networks saw them: without the velocities [rows, 2] that were taken out."""
    seen = mean.copy()
    if "vrad" in trained_on.label_names and velocity.size:
        seen[:, trained_on.label_names.index("vrad")] -= velocity[:, 0]
    return seen


def velocity_columns(velocity: _F8) -> list[Column]:
    """Return the columns of a catalogue for velocities and errors [rows, 2]; none for no rows."""
    if not velocity.size:
        return []
    said = "radial velocity by cross-correlation, by which the spectrum was shifted"
    return [
        Column("vrad_ccf", velocity[:, 0], LABELS["vrad"].unit, f"{said}; vrad is this and the residual velocity"),
        Column("vrad_ccf_err", velocity[:, 1], LABELS["vrad"].unit, f"{said}: its standard deviation"),
    ]


def _contiguous(lower: _F8, upper: _F8) -> tuple[_F8, NDArray[np.int64]]:
    """Return the edges of pixels with one more pixel for each gap [pixels + gaps + 1], and the pixels' places there."""
    gaps = np.flatnonzero(~np.isclose(lower[1:], upper[:-1], rtol=1e-9, atol=0.0)) + 1
    edges = np.append(np.insert(lower, gaps, upper[gaps - 1]), upper[-1])
    pixels = np.arange(lower.size)
    return edges, pixels + np.searchsorted(gaps, pixels, side="right")
