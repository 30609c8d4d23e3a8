"""Tables, figures and the report of a run, or of two side by side (stage `evaluate`), from stores and catalogues."""

from starnet_hpc.evaluate.pair_stage import compare_runs
from starnet_hpc.evaluate.stage import evaluate

__all__ = ["compare_runs", "evaluate"]
