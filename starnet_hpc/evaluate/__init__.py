"""Tables, figures and the report of a run (stage `evaluate`); reads stores and catalogues only."""

from starnet_hpc.evaluate.stage import evaluate

__all__ = ["evaluate"]
