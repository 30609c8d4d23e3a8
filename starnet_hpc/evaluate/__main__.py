"""`python -m starnet_hpc.evaluate CONFIG`."""

from starnet_hpc.cli import stage_main

raise SystemExit(stage_main("evaluate"))
