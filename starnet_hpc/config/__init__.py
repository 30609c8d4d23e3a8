"""The configuration of an experiment: one YAML file, checked whole before any work starts."""

from starnet_hpc.config.cluster import ClusterConfig
from starnet_hpc.config.experiment import ExperimentConfig
from starnet_hpc.config.learning import EnsembleConfig, NetworkConfig, TrainConfig
from starnet_hpc.config.load import check, load_config, load_run, read_yaml, resolved_yaml
from starnet_hpc.config.science import StarClustersConfig
from starnet_hpc.config.spectra import AugmentConfig, ExtraGrid, GridConfig, InstrumentConfig, LabelCut, WavelengthArm
from starnet_hpc.config.survey import EvaluateConfig, PredictConfig, SurveyConfig

__all__ = [
    "AugmentConfig",
    "ClusterConfig",
    "EnsembleConfig",
    "EvaluateConfig",
    "ExperimentConfig",
    "ExtraGrid",
    "GridConfig",
    "InstrumentConfig",
    "LabelCut",
    "NetworkConfig",
    "PredictConfig",
    "StarClustersConfig",
    "SurveyConfig",
    "TrainConfig",
    "WavelengthArm",
    "check",
    "load_config",
    "load_run",
    "read_yaml",
    "resolved_yaml",
]
