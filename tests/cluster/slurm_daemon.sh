#!/usr/bin/env bash
# Kill a daemon of the Slurm that slurm_up.sh started (kill -9: it saves nothing and tells nobody), or start it again.
#   slurm_daemon.sh kill|start slurmctld|slurmd-node1
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=slurm_common.sh
source "$(dirname "${BASH_SOURCE[0]}")/slurm_common.sh"

pidfile=$RUN/$2.pid
case $1 in
    kill)
        daemon_runs "$pidfile" || die "$2 does not run"
        kill -KILL "$(cat "$pidfile")"
        wait_until 10 daemon_is_gone "$pidfile" || die "$2 does not die"
        ;;
    start) case $2 in slurmctld) run_controller ;; *) start_node "${2#slurmd-node}" ;; esac ;;
    *) die "kill or start, not $1" ;;
esac
