"""All members in memory: labels of spectra that come one by one, with the numbers that the stage gives them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from starnet_hpc import provenance
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import StoreMismatchError
from starnet_hpc.instruments import load_instrument
from starnet_hpc.networks import Member, TrainedOn, describe_members, load_member
from starnet_hpc.predict.catalogue import Column, as_text
from starnet_hpc.predict.places import best_file, chosen_device
from starnet_hpc.predict.ranks import Ranks
from starnet_hpc.predict.reconstruction import Reconstruction, compared, wanted_reconstruction
from starnet_hpc.predict.stage import predict
from starnet_hpc.predict.standards import Standards, is_validated
from starnet_hpc.predict.units import fold
from starnet_hpc.predict.velocity import RestFrame, moments_at_rest, wanted_rest_frame
from starnet_hpc.progress import StageLog


@dataclass(frozen=True)
class MembersThere:
    """What is known of a run's members while their weights are still on the disk."""

    digest: str
    """Of all of them together."""
    trained_on: TrainedOn


@dataclass(frozen=True)
class Ensemble:
    """The members of a run, ready to predict, with the run's calibration and limits."""

    members: tuple[Member, ...]
    digest: str
    """Of all of them together."""
    trained_on: TrainedOn
    standards: Standards
    rest: RestFrame | None
    reconstruction: Reconstruction | None
    """What shifts spectra to rest before the members see them; None: nothing does."""
    tellurics: NDArray[np.bool_]
    """Pixels [pixels] in telluric windows."""
    device: str
    with_correlations: bool

    def columns(
        self,
        identifiers: Sequence[str],
        flux: NDArray[np.floating[Any]],
        snr: NDArray[np.float64],
        flags: NDArray[np.integer[Any]],
    ) -> list[Column]:
        """Return the catalogue's columns for some spectra.

        Each spectrum goes through the networks alone, so that its labels do not depend on its company. They are those
        of the stage with `predict.batch_size: 1`, bit for bit; larger batches change the last bits of a float32.

        Args:
            identifiers: [rows].
            flux: continuum-normalised, 0 where masked [rows, pixels], in the precision of `augment.dtype`.
            snr: signal-to-noise ratio a pixel [rows], NaN where unknown.
            flags: [rows], as the reduction set them.
        """
        slots, velocity = moments_at_rest(
            self.rest, self.members, len(self.members), flux, self.tellurics, batch_size=1, device=self.device
        )
        table = compared(fold(slots, velocity), self.reconstruction, flux, self.trained_on.label_names)
        return self.standards.columns(
            as_text(identifiers),
            table,
            flags,
            snr,
            self.trained_on,
            self.rest,
            n_members=len(self.members),
            with_correlations=self.with_correlations,
        )


def members_there(config: ExperimentConfig) -> MembersThere:
    """Return what is known of a run's members, after checking that they are all there and of its instrument.

    Raises:
        MissingInputError, StoreDamagedError: members are missing, or not whole.
        StoreMismatchError: members do not belong together, or have other pixels than the instrument.
    """
    digests, trained_on = describe_members([best_file(config, m) for m in range(config.ensemble.members)])
    instrument = load_instrument(config.instrument)
    if provenance.digest_array(instrument.wavelength) != trained_on.wavelength_digest:
        raise StoreMismatchError(
            f"instrument: {instrument.name} has other pixels than the members in {config.run_dir} were trained for; "
            f"give the instrument that they were trained for"
        )
    return MembersThere(provenance.digest_recipe({"members": digests}), trained_on)


def load_ensemble(config: ExperimentConfig, there: MembersThere, log: StageLog) -> Ensemble:
    """Return a run's ensemble with its members in memory, and its sigmas calibrated.

    Where validation spectra have not been predicted yet with these members, that is done first.

    Raises:
        MissingInputError, StoreDamagedError, StoreMismatchError: as `members_there`, or of the validation spectra.
        PredictionError: validation spectra could not be predicted.
    """
    standards = _standards(config, there, log)
    rest = wanted_rest_frame(config, Ranks(None))
    device = chosen_device(config)
    torch.set_num_threads(config.predict.threads)
    return Ensemble(
        members=tuple(load_member(best_file(config, m), device) for m in range(config.ensemble.members)),
        digest=there.digest,
        trained_on=there.trained_on,
        standards=standards,
        rest=rest,
        reconstruction=_reconstruction(config, there.trained_on, log),
        tellurics=load_instrument(config.instrument).tellurics(),
        device=device,
        with_correlations=config.predict.correlations,
    )


def _reconstruction(config: ExperimentConfig, trained_on: TrainedOn, log: StageLog) -> Reconstruction | None:
    """Return what reconstructs spectra, if that is wanted; without the grid's gigabytes at hand, nothing does."""
    if config.predict.reconstruction and not (config.store("grid") / "zarr.json").exists():
        log.warning("%s is not there: spectra are not compared with those of their labels", config.store("grid"))
        return None
    return wanted_reconstruction(config, trained_on)


def _standards(config: ExperimentConfig, there: MembersThere, log: StageLog) -> Standards:
    """Return the calibration and limits that belong to these members; none, with a warning, where none can be had."""
    labels = len(there.trained_on.label_names)
    if (config.store("valid") / "zarr.json").exists():
        predict(config, only="valid")
    if is_validated(config, there.digest):
        return Standards.of(config, labels, validated=True)
    log.warning(
        "%s is not there, nor a calibration of these members: sigmas are as claimed, not calibrated, and nothing says "
        "which spectra are unusual",
        config.store("valid"),
    )
    return Standards.of(config, labels, validated=False)
