"""`python -m starnet_hpc.ingest CONFIG.yaml` is `starnet-hpc ingest CONFIG.yaml`."""

from starnet_hpc.cli import stage_main

raise SystemExit(stage_main("ingest"))
