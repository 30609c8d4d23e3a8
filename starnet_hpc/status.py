"""`python -m starnet_hpc.status`, the same as `starnet-hpc status`."""

import sys

from starnet_hpc.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["status", *sys.argv[1:]]))
