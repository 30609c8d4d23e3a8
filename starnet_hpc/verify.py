"""`python -m starnet_hpc.verify`, the same as `starnet-hpc verify`."""

import sys

from starnet_hpc.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["verify", *sys.argv[1:]]))
