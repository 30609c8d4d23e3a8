"""One experiment: all sections of a YAML file."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from starnet_hpc.config.base import Section, UserPath, expanded
from starnet_hpc.config.cluster import ClusterConfig
from starnet_hpc.config.learning import EnsembleConfig, NetworkConfig, TrainConfig
from starnet_hpc.config.spectra import AugmentConfig, GridConfig, InstrumentConfig
from starnet_hpc.config.survey import EvaluateConfig, PredictConfig, SurveyConfig

NEAR_REST_KMS = 10.0
"""Networks that see spectra at rest are trained on velocities no larger than this."""


def _path_expanded(instrument: str) -> str:
    return str(expanded(instrument)) if instrument.endswith((".yaml", ".yml")) else instrument


class ExperimentConfig(Section):
    """Everything that a chain of stages needs to know, checked before any of them starts."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
    """Name of the experiment (letters, digits, `_ . -`)."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Every random number is a function of this seed, the stage and the row."""
    run_dir: UserPath
    """Folder for all that is written; private to the user."""
    grid: GridConfig
    instrument: Annotated[str, AfterValidator(_path_expanded)] | InstrumentConfig = "uves_4835_5395"
    """Name of an instrument that ships with the package, path of a YAML file, or a mapping."""
    augment: AugmentConfig = AugmentConfig()
    network: NetworkConfig = NetworkConfig()
    train: TrainConfig = TrainConfig()
    ensemble: EnsembleConfig = EnsembleConfig()
    survey: SurveyConfig | None = None
    predict: PredictConfig = PredictConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    cluster: ClusterConfig = ClusterConfig()

    @model_validator(mode="after")
    def _check_near_rest(self) -> Self:
        if self.predict.radial_velocity == "ccf" and self.augment.vrad_max > NEAR_REST_KMS:
            raise ValueError(
                f"predict.radial_velocity: ccf shows the networks spectra at rest, but augment.vrad_max is "
                f"{self.augment.vrad_max:g}: set it to 2 (km/s, {NEAR_REST_KMS:g} at most) and train near rest, or set "
                f"predict.radial_velocity: network"
            )
        return self

    def store(self, name: str) -> Path:
        """Return the path of a store: `grid`, `train`, `valid`, `test` or `survey`, or one of `predict.other_tests`."""
        return self.predict.other_tests.get(name, self.run_dir / f"{name}.zarr")

    def member_dir(self, member: int) -> Path:
        """Return the folder of one member, counted from 0."""
        return self.run_dir / "members" / f"{member:02d}"

    def catalogue(self, name: str) -> Path:
        """Return the path of the FITS catalogue predicted for the store `survey` or `test`, or for another one."""
        return self.run_dir / ("catalogue.fits" if name == "survey" else f"{name}_catalogue.fits")
