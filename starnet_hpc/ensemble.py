"""`python -m starnet_hpc.ensemble`, the same as `starnet-hpc ensemble`."""

import sys

from starnet_hpc.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["ensemble", *sys.argv[1:]]))
