"""`python -m starnet_hpc.quickstart`, the same as `starnet-hpc quickstart`."""

import sys

from starnet_hpc.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["quickstart", *sys.argv[1:]]))
