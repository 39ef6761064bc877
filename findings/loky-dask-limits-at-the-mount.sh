#!/usr/bin/env bash
# joblib/loky and Dask read a control group's limits at the mount, not in the process's own group.
#
# loky.cpu_count() promises to heed the "CFS scheduler CPU bandwidth limit", and
# distributed.system.memory_limit() the "Cgroups limit (if set)". Both open a fixed path directly
# below /sys/fs/cgroup. Inside a container that is the container's own group. Anywhere else (a systemd
# unit with CPUQuota= or MemoryMax=, systemd-run, a batch system's job) it is the root of all groups,
# which has no limit: a pool of as many workers as there are processors starts under half of one, and
# Dask deals out memory that the kernel will not give. /proc/self/cgroup names the right folder, and
# every group between it and the root counts.
#
# Needs root (it makes one control group of version 1 or 2, and removes it), two processors, pip.
# Exit 0: as stated. Exit 1: something has changed. Exit 2: it cannot be shown on this machine.
set -euo pipefail

LOKY=3.7.0 DISTRIBUTED=2026.8.0 LIMIT=629145600
folder=$(mktemp -d)
name=tinytx-finding-$$
groups=()
clean() {
    for group in "${groups[@]}"; do rmdir "$group" 2>/dev/null || { sleep 1; rmdir "$group"; }; done
    rm -rf "$folder"
}
trap clean EXIT
cannot() { echo "cannot be shown here: $1"; exit 2; }

[ "$(id -u)" = 0 ] || cannot "not root"
[ "$(nproc)" -ge 2 ] || cannot "one processor only"
make() { mkdir "$1" 2>/dev/null || cannot "no control group can be made in $(dirname "$1")"; groups+=("$1"); }
if [ -e /sys/fs/cgroup/cpu/cpu.cfs_quota_us ] && [ -e /sys/fs/cgroup/memory/tasks ]; then
    version=1
    make "/sys/fs/cgroup/cpu/$name"
    make "/sys/fs/cgroup/memory/$name"
    echo 50000 > "/sys/fs/cgroup/cpu/$name/cpu.cfs_quota_us"
    echo "$LIMIT" > "/sys/fs/cgroup/memory/$name/memory.limit_in_bytes"
elif grep -qw memory /sys/fs/cgroup/cgroup.subtree_control 2>/dev/null &&
    grep -qw cpu /sys/fs/cgroup/cgroup.subtree_control; then
    version=2
    make "/sys/fs/cgroup/$name"
    echo "50000 100000" > "/sys/fs/cgroup/$name/cpu.max"
    echo "$LIMIT" > "/sys/fs/cgroup/$name/memory.max"
else
    cannot "no controllers for processor time and memory at /sys/fs/cgroup"
fi

python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q "loky==$LOKY" "distributed==$DISTRIBUTED" 2>/dev/null

cat > "$folder/ask.py" <<'PYTHON'
import os, sys, time
import distributed.system, loky, psutil

limit, quota = int(sys.argv[1]), 0.5
start, used = time.monotonic(), time.process_time()
while time.monotonic() < start + 3.0:
    pass
share = (time.process_time() - used) / (time.monotonic() - start)
cores, memory = loky.cpu_count(), distributed.system.memory_limit()
print(f"kernel:      a quota of {quota} processors, a limit of {limit / 1e6:.0f} MB in this group")
print(f"this process was given {share:.2f} of a processor while it asked for a whole one")
print(f"loky.cpu_count()                   {cores}   (right: 1; the machine has {os.cpu_count()})")
print(f"distributed.system.memory_limit()  {memory / 1e6:,.0f} MB   (right: {limit / 1e6:.0f})")
as_stated = cores == len(os.sched_getaffinity(0)) and memory == psutil.virtual_memory().total
sys.exit(0 if as_stated and share < 0.75 else 1)
PYTHON

echo "loky $LOKY, distributed $DISTRIBUTED, $("$folder/venv/bin/python" -V), control groups version $version"
status=0
(
    for group in "${groups[@]}"; do echo "$BASHPID" > "$group/cgroup.procs"; done
    exec "$folder/venv/bin/python" "$folder/ask.py" "$LIMIT"
) || status=$?
if [ "$status" = 0 ]; then
    echo "as stated: neither sees the limits of its own group"
else
    echo "CHANGED: at least one of them sees its own group's limits now, or the quota did not bite"
    exit 1
fi
