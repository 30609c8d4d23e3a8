#!/usr/bin/env bash
# Stop the Slurm that slurm_up.sh started, its jobs first, and take back what it changed outside its own folder.
# Packages stay installed. SLURM_WIPE=1 also removes configuration, logs and the accounting data base.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=slurm_common.sh
source "$(dirname "${BASH_SOURCE[0]}")/slurm_common.sh"

run_alone "${BASH_SOURCE[0]}" "$@"
stop_everything
if [ "${SLURM_WIPE:-0}" = 1 ]; then
    if grep -qs "$MARK" /etc/slurm/slurm.conf; then rm -f /etc/slurm/{slurm,gres,cgroup,slurmdbd}.conf; fi
    rm -rf "$STATE"
fi
say 'stopped'
