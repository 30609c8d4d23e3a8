"""`python -m starnet_hpc.ingest CONFIG.yaml` is `starnet-hpc ingest CONFIG.yaml`."""

from starnet_hpc.cli import stage_main

if __name__ == "__main__":  # workers import this module again
    raise SystemExit(stage_main("ingest"))
