"""`python -m starnet_hpc.plan`, the same as `starnet-hpc plan`."""

import sys

from starnet_hpc.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["plan", *sys.argv[1:]]))
