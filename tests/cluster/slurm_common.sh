# shellcheck shell=bash
# shellcheck disable=SC2034 # variables that only the scripts which source this use
# What slurm_up.sh and slurm_down.sh share: where things lie, how a daemon is watched, how all of it is stopped.
# Everything runs as root and lies under $STATE, apart from /etc/slurm, lines marked in /etc/hosts, and the sacct shim.

STATE=${STARNET_SLURM_STATE:-/var/lib/starnet-slurm}
RUN=$STATE/run
LOGS=$STATE/log
MARK='starnet test cluster'                 # in every file outside $STATE that is ours
SHIM=/usr/local/bin/sacct
BRIDGE=starnetbr0                           # interface names: 15 characters at most
VETH=starnetv
SPACE=starnet-                              # prefix of the namespaces' names

say() { printf '[slurm] %s\n' "$*" >&2; }

# die MESSAGE [LOG]: the end of a daemon's log says more than its exit status
die() {
    say "ERROR: $1"
    if [ -n "${2:-}" ] && [ -s "$2" ]; then
        say "the end of $2:"
        tail -n 25 "$2" >&2
    fi
    exit 1
}

# One start or stop at a time. `--close`, or every daemon would inherit the lock and hold it for its whole life.
run_alone() {
    [ "$(id -u)" = 0 ] || die 'must run as root'
    if [ -n "${STARNET_SLURM_LOCKED:-}" ]; then
        unset STARNET_SLURM_LOCKED
        return 0
    fi
    local status=0
    mkdir -p "$(dirname "$STATE")"
    STARNET_SLURM_LOCKED=1 flock --close --timeout 120 --conflict-exit-code 75 "$STATE.lock" bash "$@" || status=$?
    [ "$status" != 75 ] || die "another start or stop has held $STATE.lock for two minutes"
    exit "$status"
}

# wait_until SECONDS COMMAND...: poll, with a limit
wait_until() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 0.1
    done
}

# daemon_runs PIDFILE, which is called NAME.pid or NAME-node.pid. `kill -0` would not do: it is content with a zombie
# (nobody reaps in a container without init) and with a stranger that got the number after a reboot.
daemon_runs() {
    local pid name
    pid=$(cat "$1" 2>/dev/null) && [ -n "$pid" ] || return 1
    name=$(basename "$1" .pid)
    [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "${name%%-*}" ] && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null
}
daemon_is_gone() { ! daemon_runs "$1"; }

stop_daemon() {
    if daemon_runs "$1"; then
        kill "$(cat "$1")" 2>/dev/null || true
        wait_until 10 daemon_is_gone "$1" || kill -KILL "$(cat "$1")" 2>/dev/null || true
    fi
    rm -f "$1"
}

queue_is_empty() { [ -z "$(timeout 5 squeue --noheader)" ]; }

# A job outlives its slurmd (slurmstepd is a process of its own), so the jobs go first.
cancel_jobs() {
    daemon_runs "$RUN/slurmctld.pid" || return 0
    timeout 10 scancel --quiet --user=root || true
    wait_until 15 queue_is_empty || say 'some jobs did not end in time'
}

remove_namespaces() {
    command -v ip >/dev/null || return 0
    local link space
    # The veth pairs first and by name: a namespace's own devices vanish some time after `ip netns del` returns.
    for link in /sys/class/net/"$VETH"*; do
        [ -e "$link" ] && ip link del "$(basename "$link")"
    done
    for space in /run/netns/"$SPACE"*; do
        [ -e "$space" ] || continue
        space=$(basename "$space")
        ip netns pids "$space" | xargs --no-run-if-empty kill -KILL 2>/dev/null || true
        ip netns del "$space"
    done
    if [ -e "/sys/class/net/$BRIDGE" ]; then ip link del "$BRIDGE"; fi
}

# set_hosts LINE...: our lines in /etc/hosts become these.
# In place: in a container /etc/hosts is a mount, which cannot be renamed over (so no `sed -i`).
# shellcheck disable=SC2120 # stop_everything passes none, slurm_up.sh does
set_hosts() {
    local kept
    kept=$(grep -v "# $MARK\$" /etc/hosts || true)
    printf '%s\n' "$kept" "$@" >/etc/hosts || die 'cannot write /etc/hosts, where the nodes get their names'
}

remove_shim() {
    if grep -qs "$MARK" "$SHIM"; then rm -f "$SHIM"; fi
}

stop_everything() {
    local pidfile
    cancel_jobs
    for pidfile in "$RUN"/slurmd-*.pid "$RUN"/{slurmctld,slurmdbd,mariadbd,munged}.pid; do
        stop_daemon "$pidfile"
    done
    remove_namespaces
    # shellcheck disable=SC2119
    set_hosts
    remove_shim
    rm -f "$RUN/settings"
}

# run_controller [OPTION...]
run_controller() {
    slurmctld "$@" </dev/null >"$LOGS/slurmctld.out" 2>&1 || die 'slurmctld did not start' "$LOGS/slurmctld.out"
    wait_until 30 scontrol ping || die 'slurmctld does not answer' "$LOGS/slurmctld.log"
}

# nsenter and not `ip netns exec`: that one mounts a new /sys without the cgroups, for want of which slurmd 22.05 dies.
# Standard streams away from ours: whoever reads our output through a pipe would otherwise wait for the daemon's end.
start_node() {
    local enter=() node=node$1
    mkdir -p "$STATE/spool-$node"
    if [ -e "/run/netns/$SPACE$node" ]; then
        # shellcheck disable=SC2016 # $1 is for the inner shell
        enter=(nsenter --net="/run/netns/$SPACE$node" unshare --uts
            bash -c 'hostname "$1" && shift && exec "$@"' _ "$node")
    fi
    "${enter[@]}" slurmd -N "$node" </dev/null >"$LOGS/slurmd-$node.out" 2>&1 ||
        die "slurmd of $node did not start" "$LOGS/slurmd-$node.out"
}
