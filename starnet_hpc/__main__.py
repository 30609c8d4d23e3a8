"""`python -m starnet_hpc COMMAND CONFIG`, the same as `starnet-hpc COMMAND CONFIG`."""

from starnet_hpc.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
