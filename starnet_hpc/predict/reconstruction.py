"""Does the spectrum of the predicted labels look like the observed one? The forward model is the grid's templates.

Networks answer whatever they are shown. A spectrum that the answer does not explain (two stars in one, emission, a
failed reduction, a kind of star that the grid lacks) leaves more than its noise when the spectrum of the answer is
taken away, how much more is measured here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.polynomial import legendre
from numpy.typing import NDArray

from starnet_hpc import provenance
from starnet_hpc.config import AugmentConfig, ExperimentConfig
from starnet_hpc.errors import ConfigError
from starnet_hpc.instruments import (
    C_KMS,
    CONTINUUM_SETTINGS,
    Continuum,
    Instrument,
    Intervals,
    continuum_for,
    load_instrument,
    select_pixels,
)
from starnet_hpc.kernels.forward import ForwardModel
from starnet_hpc.kernels.linespread import sigma_kms
from starnet_hpc.kernels.neighbours import quadratic_weights
from starnet_hpc.networks import TrainedOn
from starnet_hpc.predict.catalogue import Column
from starnet_hpc.predict.units import UnitTable
from starnet_hpc.stores import MappedRows, Store, open_store

_F4 = NDArray[np.float32]
_F8 = NDArray[np.float64]

_EPSILON = 0.6
"""Limb darkening: about that of the Sun in green light. Nobody measures it."""
_DEGREE = 3
"""Of the polynomial by which the two continua may differ: a noisy one is placed elsewhere than one without noise."""
_FEWEST_PIXELS = 32
_PERCENTILE = 99.0
_FORMAT = 1
"""Raised when the same spectra would leave something else."""


@dataclass(frozen=True)
class Reconstruction:
    """What makes the spectra of labels from a grid."""

    grid: Store
    instrument: Instrument
    augment: AugmentConfig
    ignored: Intervals = ()
    """Windows [angstrom] in which spectra are not compared: badly modelled, as the networks were told."""
    ignored_at_rest: bool = False
    """Whether these windows move with the star."""

    @property
    def digest(self) -> str:
        """Digest of all that leftovers are a function of, besides spectra and labels."""
        return provenance.digest_recipe(
            {
                "format": _FORMAT,
                "grid": self.grid.content_digest,
                "instrument": self.instrument.recipe(),
                "augment": self.augment.model_dump(mode="json", include=set(CONTINUUM_SETTINGS)),
                "ignored": [list(map(list, self.ignored)), self.ignored_at_rest],
            }
        )

    def leftovers(self, flux: NDArray[np.floating], mean: _F8, label_names: Sequence[str]) -> _F8:
        """Return what reconstructions leave of normalised spectra [rows, pixels].

        Args:
            flux: as the members were given it, before it was shifted to rest; 0 where masked.
            mean: predicted labels [rows, labels], the grid's among them.
            label_names: their names.

        Returns:
            Mean squares over the unmasked pixels of the difference and of the reconstruction's lines, and the
            spectrum's median [rows, 3]; NaN where there are no labels, or no spectrum of them.
        """
        out = np.full((len(flux), 3), np.nan)
        for row, labels in enumerate(mean):
            if np.isfinite(labels).all():
                out[row] = self._left(
                    flux[row].astype(np.float64), dict(zip(label_names, labels.tolist(), strict=True))
                )
        return out

    def spectrum(self, labels: dict[str, float]) -> _F4 | None:
        """Return the normalised spectrum [pixels] of some labels; None if it cannot be made.

        Args:
            labels: the grid's, `vsini` and `vrad` (0 where they are not given), by name.
        """
        point = (np.array([labels[name] for name in self.grid.label_names]) - self._low) / self._reach
        if (np.abs(point - 0.5) > 1.0).any():  # half the grid's range outside: no polynomial reaches there
            return None
        rows, weights = quadratic_weights(self._nodes, point)
        template = np.zeros(self.grid.layout.pixels, dtype=np.float32)
        for row, weight in zip(rows.tolist(), weights, strict=True):
            flux = self._rows[row]
            template += np.float32(weight / max(float(flux.mean(dtype=np.float64)), 1e-30)) * flux
        try:
            observed = self._forward.observe(
                template, vsini=max(labels.get("vsini", 0.0), 0.0), epsilon=_EPSILON, vrad=labels.get("vrad", 0.0)
            )
        except ValueError:  # shifted beyond the templates
            return None
        level = self._continuum.fit(observed)
        return np.divide(observed, level, out=np.zeros_like(observed), where=level > 0.0)

    def _left(self, flux: _F8, labels: dict[str, float]) -> _F8 | float:
        made = self.spectrum(labels)
        if made is None:
            return np.nan
        used = np.isfinite(flux) & (flux != 0.0) & (made > 0.0) & ~self._tellurics
        if self.ignored:
            factor = 1.0 + labels.get("vrad", 0.0) / C_KMS if self.ignored_at_rest else 1.0
            used &= ~self.instrument.inside(tuple((low * factor, high * factor) for low, high in self.ignored))
        if np.count_nonzero(used) < _FEWEST_PIXELS:
            return np.nan
        flux, model, place = flux[used], made[used].astype(np.float64), self._place[used]
        terms = legendre.legvander(place, _DEGREE) * model[:, None]
        # Normal equations: four terms that are nearly orthogonal.
        level = np.linalg.lstsq(terms.T @ terms, terms.T @ flux, rcond=None)[0]
        left = flux - terms @ level
        return np.array([np.square(left).mean(), np.square(1.0 - model).mean(), np.median(flux)])

    @cached_property
    def _labels(self) -> _F8:
        return self.grid.labels()

    @cached_property
    def _nodes(self) -> _F8:
        return np.asarray((self._labels - self._low) / self._reach)

    @cached_property
    def _low(self) -> _F8:
        return np.asarray(self._labels.min(axis=0))

    @cached_property
    def _reach(self) -> _F8:
        reach = np.ptp(self._labels, axis=0)
        return np.where(reach > 0.0, reach, 1.0)

    @cached_property
    def _place(self) -> _F8:
        """Where pixels are in the range, from -1 to 1 [pixels]."""
        wavelength = self.instrument.wavelength
        return np.asarray(2.0 * (wavelength - wavelength[0]) / (wavelength[-1] - wavelength[0]) - 1.0)

    @cached_property
    def _tellurics(self) -> NDArray[np.bool_]:
        return self.instrument.tellurics()

    @cached_property
    def _rows(self) -> MappedRows:
        return self.grid.mapped_rows()

    @cached_property
    def _continuum(self) -> Continuum:
        return continuum_for(self.instrument, self.augment)

    @cached_property
    def _forward(self) -> ForwardModel:
        native = self.grid.attributes.get("native_resolution")
        instrument, native_kms = self.instrument, sigma_kms(native) if native else 0.0
        return ForwardModel(self.grid.wavelength, instrument.lower, instrument.upper, instrument.arms, native_kms)


def wanted_reconstruction(config: ExperimentConfig, trained_on: TrainedOn) -> Reconstruction | None:
    """Return what reconstructs spectra, if the configuration wants that.

    Raises:
        MissingInputError: `grid.zarr` is not there.
        ConfigError: the members do not tell all labels of the grid.
    """
    if not config.predict.reconstruction:
        return None
    grid = open_store(config.store("grid"), made_by="ingest")
    if missing := [name for name in grid.label_names if name not in trained_on.label_names]:
        raise ConfigError(
            f"predict.reconstruction: the members do not tell {', '.join(missing)}, without which there is no spectrum "
            f"of their labels; set it to false"
        )
    instrument = load_instrument(config.instrument)
    ignored = select_pixels(config.network, instrument).ignored_windows
    at_rest = config.predict.radial_velocity == "ccf"  # networks then see all stars at rest
    return Reconstruction(grid, instrument, config.augment, ignored, at_rest)


def compared(
    table: UnitTable, reconstruction: Reconstruction | None, flux: NDArray[np.floating], label_names: Sequence[str]
) -> UnitTable:
    """Return predictions with what reconstructions leave of their spectra [rows, pixels]; with none, as they are."""
    if reconstruction is None:
        return table
    return replace(table, leftovers=reconstruction.leftovers(flux, table.mean, label_names))


@dataclass(frozen=True)
class Usual:
    """What reconstructions of validation spectra leave; NaN where there are none."""

    line_share: float
    """Of the lines' depth, besides the noise."""
    limit: float
    """So many times what noise and this share make is reached by few."""

    @classmethod
    def unknown(cls) -> "Usual":
        """Return what nothing is known of."""
        return cls(np.nan, np.nan)

    def misfit(self, leftovers: _F8, snr: _F8) -> _F8:
        """Return what reconstructions leave over what they usually do [rows], from leftovers [rows, 3]; usual is 1."""
        with np.errstate(invalid="ignore", divide="ignore"):
            expected = np.square(leftovers[:, 2] / snr) + self.line_share**2 * leftovers[:, 1]
            return np.asarray(np.sqrt(leftovers[:, 0] / expected))


def find_usual(leftovers: _F8, snr: _F8) -> Usual:
    """Return what validation spectra say of reconstructions, from leftovers [rows, 3] and S/N a pixel [rows]."""
    noise = np.square(leftovers[:, 2] / snr) if len(leftovers) else np.empty(0)
    known = np.isfinite(leftovers).all(axis=1) & np.isfinite(noise)
    if not known.any():
        return Usual.unknown()
    leftovers, snr, noise = leftovers[known], snr[known], noise[known]
    # What the model lacks shows in spectra with little noise.
    clean = noise <= np.median(noise)
    share = float(np.sqrt(max(np.median(((leftovers[:, 0] - noise) / leftovers[:, 1])[clean]), 0.0)))
    return Usual(share, float(np.percentile(Usual(share, np.nan).misfit(leftovers, snr), _PERCENTILE)))


def misfit_columns(misfit: _F8) -> list[Column]:
    """Return the column of a catalogue for misfits [rows]; none for no rows."""
    said = "observed minus reconstructed, over what noise and grid usually leave; usual: 1"
    return [Column("misfit", misfit, "", said)] if misfit.size else []
