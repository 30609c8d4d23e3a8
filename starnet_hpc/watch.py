"""`python -m starnet_hpc.watch`, the same as `starnet-hpc watch`."""

import sys

from starnet_hpc.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["watch", *sys.argv[1:]]))
