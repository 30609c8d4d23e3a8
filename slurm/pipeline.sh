#!/bin/bash
# The whole chain from a login node: stores, members, catalogue, report. Run it again to go on after a failure.
#   bash slurm/pipeline.sh CONFIG.yaml
set -euo pipefail
here=$(dirname "$0")
config=${1:?usage: bash slurm/pipeline.sh CONFIG.yaml}
if grep -q '^survey:' "$config"; then starnet-hpc observe "$config"; fi   # first: it is told early if a file is missing
sbatch --wait "$here/prepare.sbatch" "$config"             # grid.zarr, train.zarr, valid.zarr, test.zarr
starnet-hpc ensemble "$config" --executor slurm            # one array, a job a member; waits for them
sbatch --wait "$here/predict.sbatch" "$config"             # catalogue.fits
starnet-hpc evaluate "$config"                             # report.html
