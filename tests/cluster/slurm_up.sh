#!/usr/bin/env bash
# Bring up a real Slurm on one Debian machine or container, as root and without systemd.
#
#   SLURM_NODES=2   emulated nodes, node1 ... nodeN, one slurmd each
#   SLURM_CPUS=4    CPUs that each node claims to have
#   SLURM_GPUS=2    fake GPUs of each node, for CUDA_VISIBLE_DEVICES (links to /dev/null)
#   SLURM_NETNS=1   each node in a network namespace of its own, with its own address and hostname;
#                   0, or where namespaces are forbidden: all nodes on 127.0.0.1 under the host's name
#   SLURM_ACCT=0    1: accounting by slurmdbd and MariaDB; 0: a stand-in for sacct that asks the controller
#   SLURM_SUBNET=10.77.0   the first three bytes of the nodes' addresses
#
# Running it again with the same settings keeps what runs; with others, or if a daemon died, all is started afresh.
# It ends well only when a step has run on every node: `sinfo` calls nodes idle that are merely remembered.
# Standard output is for programs (name=value lines), standard error for people.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=slurm_common.sh
source "$HERE/slurm_common.sh"

read_settings() {
    NODES=${SLURM_NODES:-2} CPUS=${SLURM_CPUS:-4} GPUS=${SLURM_GPUS:-2} ACCT=${SLURM_ACCT:-0}
    NETNS=${SLURM_NETNS:-1} SUBNET=${SLURM_SUBNET:-10.77.0}
    # srun reads SLURM_* variables as options (SLURM_GPUS=2 is --gpus=2), so ours must not reach it
    unset SLURM_NODES SLURM_CPUS SLURM_GPUS SLURM_ACCT SLURM_NETNS SLURM_SUBNET
    local value
    for value in "$NODES" "$CPUS" "$GPUS"; do
        [[ $value =~ ^[0-9]+$ ]] || die "SLURM_NODES, SLURM_CPUS and SLURM_GPUS are whole numbers, not '$value'"
    done
    if ((NODES < 1 || NODES > 200)); then die "SLURM_NODES must lie between 1 and 200, not at $NODES"; fi
}

# Slurm would believe a foreign configuration, and overwriting one would break a real cluster.
refuse_foreign_slurm() {
    [ ! -e /etc/slurm/slurm.conf ] || grep -q "$MARK" /etc/slurm/slurm.conf ||
        die '/etc/slurm/slurm.conf belongs to another Slurm; this script is for machines that have none'
}

install_packages() {
    type -P apt-get dpkg-query >/dev/null || die 'needs Debian (apt-get and dpkg-query)'
    local wanted=(slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge) missing=() package
    if [ "$NETNS" = 1 ]; then wanted+=(iproute2); fi
    if [ "$ACCT" = 1 ]; then wanted+=(slurmdbd slurm-wlm-mysql-plugin mariadb-server); fi
    for package in "${wanted[@]}"; do
        dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep -q ' ok installed' ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${missing[*]}"
    apt_install "${missing[@]}" >"$LOGS/apt.log" 2>&1 || die 'apt-get failed' "$LOGS/apt.log"
}

# A subshell, so that its trap removes the policy whatever happens.
apt_install() (
    export DEBIAN_FRONTEND=noninteractive
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then # keep the packages from starting daemons of their own
        trap 'rm -f "$policy"' EXIT
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" || exit
    fi
    # --force-unsafe-io: dpkg otherwise spends most of its time in fsync
    apt-get update -q &&
        apt-get install -q -y --no-install-recommends -o Dpkg::Options::=--force-unsafe-io "$@"
)

choose_network() {
    NETWORK=loopback CONTROLLER=127.0.0.1
    [ "$NETNS" = 1 ] || return 0
    local reason
    if reason=$(try_namespace 2>&1); then
        NETWORK=namespaces CONTROLLER=$SUBNET.1
    else
        say "network namespaces are not permitted here (${reason:-no reason given})"
        say 'all nodes share 127.0.0.1 and the hostname instead (a privileged container would give each its own)'
    fi
}

# Every right that a namespaced node needs, tried on one that is removed again.
try_namespace() (
    space=starnet-probe link=starnetprobe
    ip netns del "$space" 2>/dev/null # left by a try that was killed
    trap '{ ip link del "$link"; ip netns del "$space"; } 2>/dev/null' EXIT
    ip netns add "$space" &&
        ip link add "$link" type veth peer name eth0 netns "$space" &&
        nsenter --net="/run/netns/$space" unshare --uts hostname probe
)

node_address() { if [ "$NETWORK" = namespaces ]; then echo "$SUBNET.$((10 + $1))"; else echo 127.0.0.1; fi; }
node_host() { if [ "$NETWORK" = namespaces ]; then echo "node$1"; else hostname -s; fi; }
node_port() { echo $((27100 + $1)); }

# Two starts with the same line would give the same cluster.
settings_line() {
    echo "nodes=$NODES cpus=$CPUS gpus=$GPUS accounting=$ACCT network=$NETWORK subnet=$SUBNET" \
        "version=$(cat "$HERE"/slurm_*.sh "$HERE"/sacct_shim.sh "$HERE"/slurm.conf.in | cksum)"
}

runs_already() {
    [ "$(cat "$RUN/settings" 2>/dev/null)" = "$(settings_line)" ] || return 1
    local pidfile pidfiles=("$RUN"/{munged,slurmctld}.pid) i
    if [ "$ACCT" = 1 ]; then pidfiles+=("$RUN"/{mariadbd,slurmdbd}.pid); fi
    for i in $(seq "$NODES"); do pidfiles+=("$RUN/slurmd-node$i.pid"); done
    for pidfile in "${pidfiles[@]}"; do daemon_runs "$pidfile" || return 1; done
}

# The nodes' names have to resolve everywhere: torch and MPI take a node's name for an address.
name_nodes() {
    local i lines=()
    for i in $(seq "$NODES"); do lines+=("$(node_address "$i") node$i # $MARK"); done
    set_hosts "${lines[@]}"
}

connect_nodes() {
    [ "$NETWORK" = namespaces ] || return 0
    local i space
    ip link add "$BRIDGE" type bridge
    ip addr add "$CONTROLLER/24" dev "$BRIDGE"
    ip link set "$BRIDGE" up
    for i in $(seq "$NODES"); do
        space=${SPACE}node$i
        ip netns add "$space"
        ip link add "$VETH$i" type veth peer name eth0 netns "$space"
        ip link set "$VETH$i" master "$BRIDGE" up
        ip -n "$space" addr add "$(node_address "$i")/24" dev eth0
        ip -n "$space" link set lo up
        ip -n "$space" link set eth0 up
    done
}

# Key and socket of our own, so that a munged of the machine is neither needed nor disturbed.
start_munged() {
    local key=$STATE/munge.key
    if [ ! -s "$key" ]; then (umask 077 && head -c 1024 /dev/urandom >"$key"); fi
    munged --key-file="$key" --socket="$RUN/munge.socket" --pid-file="$RUN/munged.pid" \
        --seed-file="$STATE/munge.seed" --log-file="$LOGS/munged.log" </dev/null >"$LOGS/munged.out" 2>&1 ||
        die 'munged did not start' "$LOGS/munged.out"
    wait_until 10 daemon_runs "$RUN/munged.pid" || die 'munged died' "$LOGS/munged.log"
}

write_configuration() {
    local i file=/etc/slurm/slurm.conf
    mkdir -p /etc/slurm
    sed -e "s|@HOST@|$(hostname -s)|" -e "s|@CONTROLLER@|$CONTROLLER|" -e "s|@STATE@|$STATE|" \
        -e "s|@FIRST_JOB@|$(($(date +%s) % 60000000 + 1))|" "$HERE/slurm.conf.in" >"$file.new"
    : >/etc/slurm/gres.conf
    for i in $(seq "$NODES"); do
        echo "NodeName=node$i NodeHostname=$(node_host "$i") NodeAddr=$(node_address "$i") Port=$(node_port "$i")" \
            "CPUs=$CPUS CoresPerSocket=$CPUS RealMemory=16000 Gres=gpu:$GPUS State=UNKNOWN"
        fake_gpus "node$i"
    done >>"$file.new"
    if [ "$ACCT" = 1 ]; then
        echo "AccountingStorageType=accounting_storage/slurmdbd"
        echo "AccountingStorageHost=127.0.0.1"
        echo "AccountingStoragePort=27099"
        echo "AccountingStoragePass=$RUN/munge.socket" # AuthInfo does not reach this connection
        echo "JobAcctGatherType=jobacct_gather/linux"
    fi >>"$file.new"
    mv "$file.new" "$file"
    # Without this file the tools complain that they miss it.
    echo 'CgroupAutomount=no' >/etc/slurm/cgroup.conf
}

# With a device for each GPU Slurm sets CUDA_VISIBLE_DEVICES; a link to a device will do, and needs no right to mknod.
fake_gpus() {
    local gpu path
    for gpu in $(seq 0 $((GPUS - 1))); do
        path=$STATE/gpus/$1-gpu$gpu
        ln -sf /dev/null "$path"
        echo "NodeName=$1 Name=gpu File=$path" >>/etc/slurm/gres.conf
    done
}

start_database() {
    local data=$STATE/mysql small=(--innodb-log-file-size=16M --innodb-buffer-pool-size=64M)
    if [ ! -d "$data/mysql" ]; then
        mariadb-install-db --no-defaults --user=root --datadir="$data" --skip-test-db \
            --auth-root-authentication-method=socket "${small[@]}" >"$LOGS/mariadb-install.log" 2>&1 ||
            die 'the data base could not be made' "$LOGS/mariadb-install.log"
    fi
    setsid --fork mariadbd --no-defaults --user=root --datadir="$data" --socket="$RUN/mariadb.socket" \
        --pid-file="$RUN/mariadbd.pid" --bind-address=127.0.0.1 --port=27098 --log-error="$LOGS/mariadbd.log" \
        --innodb-flush-log-at-trx-commit=0 --innodb-lock-wait-timeout=900 "${small[@]}" </dev/null >/dev/null 2>&1
    wait_until 30 database_client -e 'SELECT 1' || die 'mariadbd did not start' "$LOGS/mariadbd.log"
    database_client -e "CREATE DATABASE IF NOT EXISTS slurm_acct_db;
        CREATE USER IF NOT EXISTS slurm@localhost IDENTIFIED BY 'slurm';
        GRANT ALL ON slurm_acct_db.* TO slurm@localhost;" || die 'the data base refused' "$LOGS/mariadbd.log"
}
database_client() { mariadb --no-defaults --socket="$RUN/mariadb.socket" "$@"; }

start_accounting() {
    start_database
    (umask 077 && cat >/etc/slurm/slurmdbd.conf) <<CONF
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=27099
AuthType=auth/munge
AuthInfo=socket=$RUN/munge.socket
SlurmUser=root
PidFile=$RUN/slurmdbd.pid
LogFile=$LOGS/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=27098
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
CommitDelay=0
CONF
    slurmdbd </dev/null >/dev/null 2>&1 || die 'slurmdbd did not start' "$LOGS/slurmdbd.log"
    wait_until 30 sacctmgr --noheader show cluster || die 'slurmdbd does not answer' "$LOGS/slurmdbd.log"
    sacctmgr --noheader --parsable2 show cluster format=cluster | grep -qx starnet ||
        sacctmgr --immediate --quiet add cluster starnet >/dev/null || die 'no accounting' "$LOGS/slurmdbd.log"
}

install_shim() {
    [ ! -e "$SHIM" ] || grep -q "$MARK" "$SHIM" || die "$SHIM is not ours and would hide the stand-in for sacct"
    install -m 755 "$HERE/sacct_shim.sh" "$SHIM"
    [ "$(type -P sacct)" = "$SHIM" ] || die "$(dirname "$SHIM") must come before $(dirname "$(type -P sacct)") on PATH"
}

start_controller() {
    mkdir -p "$STATE/controller"
    # -c: jobs that an earlier, killed session left in the saved state must not come back to life
    run_controller -c
}

start_everything() {
    name_nodes
    connect_nodes
    start_munged
    write_configuration
    if [ "$ACCT" = 1 ]; then start_accounting; else install_shim; fi
    start_controller
    local i
    for i in $(seq "$NODES"); do start_node "$i"; done
}

prove_steps_run() {
    local seen
    seen=$(timeout 45 srun --nodes="$NODES" --ntasks="$NODES" --ntasks-per-node=1 --job-name=proof \
        printenv SLURMD_NODENAME 2>"$LOGS/proof.log" | sort -u | wc -l) || true
    [ "$seen" = "$NODES" ] && return 0
    sinfo --Node --long >&2 || true
    tail -n 15 "$LOGS"/slurmd-node*.log "$LOGS/slurmctld.log" >&2 || true
    die "a step ran on $seen of $NODES nodes" "$LOGS/proof.log"
}

# From each node to the next one's slurmd, which logs an empty message then. srun talks to every node itself, and so
# does not show it.
prove_nodes_see_each_other() {
    [ "$NETWORK" = namespaces ] || return 0
    local i next
    for i in $(seq "$NODES"); do
        next=$((i % NODES + 1))
        nsenter --net="/run/netns/${SPACE}node$i" timeout 5 bash -c "</dev/tcp/node$next/$(node_port "$next")" ||
            die "node$i does not reach node$next: does a firewall drop what crosses a bridge (bridge-nf-call-iptables)?"
    done
}

main() {
    read_settings
    refuse_foreign_slurm
    mkdir -p "$RUN" "$LOGS" "$STATE/gpus"
    install_packages
    choose_network
    local started=no
    if ! runs_already; then
        started=yes
        trap '[ $? = 0 ] || stop_everything' EXIT # no half of a cluster stays behind
        stop_everything
        start_everything
    fi
    prove_steps_run
    prove_nodes_see_each_other
    settings_line >"$RUN/settings"
    sinfo --Node --format='%N %P %t %c CPUs %G' >&2
    echo "nodes=$(seq --separator=, --format=node%g "$NODES")"
    echo "partition=main"
    echo "urgent=urgent"
    echo "network=$NETWORK"
    echo "started=$started"
}

run_alone "${BASH_SOURCE[0]}" "$@"
main
