"""What the catalogue measures predictions by, and its columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starnet_hpc.config import ExperimentConfig
from starnet_hpc.labels import ordered
from starnet_hpc.networks import TrainedOn
from starnet_hpc.predict.calibration import Calibration, calibration_header, read_calibration
from starnet_hpc.predict.catalogue import Column, catalogue_columns
from starnet_hpc.predict.flagging import flag_doubts, flags_of
from starnet_hpc.predict.limits import Cards, Limits, limits_header, read_limits
from starnet_hpc.predict.places import calibration_file, limits_file, validation_file
from starnet_hpc.predict.reconstruction import misfit_columns
from starnet_hpc.predict.units import UnitTable
from starnet_hpc.predict.velocity import RestFrame, residuals, velocity_columns
from starnet_hpc.stores import read_json


def is_validated(config: ExperimentConfig, members: str) -> bool:
    """Return whether there is a calibration of these members, or there are spectra to find one from.

    Members and calibration may have been copied to where they are used, without gigabytes of validation spectra.

    Args:
        config: of the experiment.
        members: their digest, all together.
    """
    if (config.store("valid") / "zarr.json").exists():
        return True
    kept = calibration_file(config).exists() and validation_file(config).exists()
    return kept and read_json(validation_file(config)).get("members") == members


@dataclass(frozen=True)
class Standards:
    """Factors and limits by which rows are judged."""

    calibration: Calibration
    """Of sigma, from validation spectra."""
    limits: Limits
    """Beyond which few validation spectra are."""
    sigma_limits: Mapping[str, float]
    """Largest calibrated sigma of some labels, as the user wants it."""

    @classmethod
    def of(cls, config: ExperimentConfig, labels: int, *, validated: bool) -> "Standards":
        """Return those of a run; without validation spectra sigmas stay as claimed, and nothing is unusual."""
        limits = config.evaluate.sigma_limits
        return cls(
            read_calibration(calibration_file(config), labels) if validated else Calibration.none(labels),
            read_limits(limits_file(config), labels) if validated else Limits.none(labels),
            {name: limits[name] for name in ordered(limits)},
        )

    def header(self, label_names: Sequence[str]) -> Cards:
        """Return the header cards that tell of them."""
        return calibration_header(self.calibration, label_names) | limits_header(
            self.limits, self.sigma_limits, label_names
        )

    def columns(
        self,
        identifiers: NDArray[np.str_],
        table: UnitTable,
        before: NDArray[np.integer[Any]],
        snr: NDArray[np.float64],
        trained_on: TrainedOn,
        rest: RestFrame | None,
        *,
        n_members: int,
        with_correlations: bool,
    ) -> list[Column]:
        """Return the catalogue's columns.

        Args:
            identifiers: [rows], unique.
            table: what the ensemble predicts.
            before: flags [rows] that the spectra had before they were predicted.
            snr: signal-to-noise ratio a pixel [rows], NaN where unknown.
            trained_on: what the members were trained on.
            rest: what shifted spectra to rest before the members saw them; None: nothing did.
            n_members: size of the ensemble.
            with_correlations: whether correlations between labels get columns.
        """
        found = table.combined
        sigma = found.total * self.calibration.at(snr)
        flags = flags_of(before, snr, residuals(table.mean, table.velocity, trained_on), trained_on)
        if rest is not None:
            flags |= rest.flags(table.velocity, trained_on)
        misfit = self.limits.usual.misfit(table.leftovers, snr) if table.leftovers.size else np.empty(0)
        flags |= flag_doubts(found, sigma, table.distance, misfit, self.limits, self.sigma_limits, trained_on)
        parts = (found.mean, sigma, found.total, found.aleatoric, found.epistemic)
        correlation = table.correlation if with_correlations else None
        names = tuple(trained_on.label_names)
        further = [*velocity_columns(table.velocity), *misfit_columns(misfit)]
        return catalogue_columns(identifiers, names, parts, table.distance, flags, n_members, correlation, further)
