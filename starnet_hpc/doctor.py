"""`python -m starnet_hpc.doctor`, the same as `starnet-hpc doctor`."""

import sys

from starnet_hpc.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["doctor", *sys.argv[1:]]))
