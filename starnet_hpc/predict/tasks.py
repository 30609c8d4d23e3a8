"""What there is to predict: which stores, in which order, and what their catalogues say of where they come from."""

from dataclasses import dataclass
from pathlib import Path

from starnet_hpc import provenance
from starnet_hpc.config import ExperimentConfig
from starnet_hpc.errors import MissingInputError, StoreMismatchError
from starnet_hpc.instruments import processing
from starnet_hpc.networks import TrainedOn
from starnet_hpc.predict.catalogue import settings
from starnet_hpc.predict.places import predictions_dir
from starnet_hpc.predict.reconstruction import Reconstruction
from starnet_hpc.predict.velocity import RestFrame
from starnet_hpc.stores import Store, open_store

_STORES = ("valid", "test", "survey")
"""In this order: the first calibrates the sigmas of the others, and its units keep the members' answers."""


@dataclass(frozen=True)
class Task:
    """The prediction of one store."""

    name: str
    store: Store
    folder: Path
    """Where finished units lie."""
    unit_size: int
    """Rows of each but the last."""
    recipe: str
    header: dict[str, tuple[str | int, str]]
    rest: RestFrame | None
    """What shifts spectra to rest before the members see them; None: nothing does."""
    reconstruction: Reconstruction | None
    """What spectra are compared with; None: nothing is."""

    @property
    def units(self) -> int:
        """How many there are."""
        return -(-len(self.store) // self.unit_size)

    def rows(self, unit: int) -> range:
        """Return the rows of a unit."""
        return range(unit * self.unit_size, min((unit + 1) * self.unit_size, len(self.store)))


def wanted_tasks(
    config: ExperimentConfig,
    digests: list[str],
    trained_on: TrainedOn,
    device: str,
    rest: RestFrame | None,
    reconstruction: Reconstruction | None,
    only: str | None,
) -> list[Task]:
    """Return the predictions that a run needs.

    Args:
        config: of the experiment.
        digests: of the members.
        trained_on: what they were trained on.
        device: that they run on.
        rest: what shifts spectra to rest.
        reconstruction: what spectra are compared with.
        only: name of a store to leave all others out for.

    Raises:
        MissingInputError: there is nothing to predict, or the survey's store is not there.
        StoreMismatchError: a store has other pixels than the members.
    """
    names = names_to_predict(config) if only is None else [only]
    return [_task(config, name, digests, trained_on, device, rest, reconstruction) for name in names]


def names_to_predict(config: ExperimentConfig) -> list[str]:
    """Return the names of the stores that a run predicts.

    Raises:
        MissingInputError: there are none, or the survey's is not there.
    """
    names = [name for name in _STORES if (config.store(name) / "zarr.json").exists()]
    if config.survey is not None and "survey" not in names:
        raise MissingInputError(
            f"{config.store('survey')}: no such store; make it first with `starnet-hpc observe CONFIG`"
        )
    names += config.predict.other_tests
    if not names:
        raise MissingInputError(f"{config.run_dir}: neither test.zarr nor survey.zarr is there; nothing to predict")
    return names


def _task(
    config: ExperimentConfig,
    name: str,
    digests: list[str],
    trained_on: TrainedOn,
    device: str,
    rest: RestFrame | None,
    reconstruction: Reconstruction | None,
) -> Task:
    store = open_store(config.store(name), made_by="observe" if name == "survey" else "augment")
    if provenance.digest_array(store.wavelength) != trained_on.wavelength_digest:
        raise StoreMismatchError(
            f"{store.path} and the members have different pixels: train members for this instrument, or observe again"
        )
    _refuse_other_processing(store, trained_on)
    members = provenance.digest_recipe({"members": digests})
    recipe = {
        "store": store.content_digest,
        "members": members,
        "batch_size": config.predict.batch_size,
        "threads": config.predict.threads,
        "unit": config.predict.shard_rows,
        "device": device,
        **({} if rest is None else {"rest_frame": rest.digest}),
        **({} if reconstruction is None else {"reconstruction": reconstruction.digest}),
    }
    header: dict[str, tuple[str | int, str]] = {
        "EXPNAME": (config.name, "experiment"),
        "SEED": (str(config.seed), "seed of the experiment"),
        "NMEMBERS": (config.ensemble.members, "networks in the ensemble"),
        "MEMBERS": (members, "digest of the members"),
        "INPUT": (store.path.name, "store that was predicted"),
        "INPUTDIG": (store.content_digest, "digest of that store"),
        "TRAINDIG": (trained_on.train_digest, "digest of the training store"),
        "CREATOR": (f"starnet_hpc {provenance.software()['starnet_hpc']}", "software"),
        "CONFIG": (settings(config), "settings behind it, as JSON"),
    }
    if rest is not None:
        header["RVLIMIT"] = (f"{rest.limit_kms:g}", "km/s: vrad_ccf was searched up to this")
    folder = predictions_dir(config) / name
    digest = provenance.digest_recipe(recipe)
    return Task(name, store, folder, config.predict.shard_rows, digest, header, rest, reconstruction)


def _refuse_other_processing(store: Store, trained_on: TrainedOn) -> None:
    """Refuse spectra whose continuum was found otherwise than that of the training spectra, or of other resolution."""
    ours, theirs = processing(store.attributes["recipe"]), trained_on.processing
    if ours is None or theirs is None:  # made, or trained, by an earlier version
        return
    if differences := provenance.differences(ours, theirs):
        raise StoreMismatchError(
            f"{store.path}: its spectra were not made as those that the members were trained on: "
            f"{'; '.join(differences)}; make it again with the settings of the training, or train again"
        )
