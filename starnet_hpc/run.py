"""`python -m starnet_hpc.run`, the same as `starnet-hpc run`."""

import sys

from starnet_hpc.cli import main

if __name__ == "__main__":
    raise SystemExit(main(["run", *sys.argv[1:]]))
