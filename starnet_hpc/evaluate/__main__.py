"""`python -m starnet_hpc.evaluate CONFIG`."""

from starnet_hpc.cli import stage_main

if __name__ == "__main__":
    raise SystemExit(stage_main("evaluate"))
