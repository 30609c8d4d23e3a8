#!/bin/bash
# The whole chain from a login node, as jobs that wait for each other: stores, members, catalogue, report. It returns at
# once; MEMBERS is `ensemble.members` of CONFIG.
#   bash slurm/pipeline.sh CONFIG.yaml MEMBERS
# A job that fails ends those that wait for it. Run it again then: what is done is found done, and takes its jobs seconds.
# `starnet-hpc run CONFIG.yaml --executor slurm` does the same, and submits only what is missing.
set -euo pipefail
here=$(dirname "$0")
usage='usage: bash slurm/pipeline.sh CONFIG.yaml MEMBERS'
config=${1:?$usage} members=${2:?$usage}
submit() { sbatch --parsable --kill-on-invalid-dep=yes "$@"; }   # prints the job's number; never left waiting for ever
# Observed spectra first: it is told early if a file is missing.
if grep '^survey:' "$config" | grep -qv null; then starnet-hpc observe "$config"; fi
prepare=$(submit "$here/prepare.sbatch" "$config")                                              # the stores
array=$(submit --dependency="afterok:$prepare" --array="0-$((members - 1))" "$here/member.sbatch" "$config")
predict=$(submit --dependency="afterok:$array" "$here/predict.sbatch" "$config")                # all members were trained
evaluate=$(submit --dependency="afterok:$predict" "$here/evaluate.sbatch" "$config")
echo "prepare $prepare, members $array, predict $predict, evaluate $evaluate"
