"""Whether this kernel can hold a process to a memory limit at all."""

from pathlib import Path

IGNORED = (
    "this kernel has no memory controller: MemoryMax is ignored and nothing holds the service to "
    "its budget (docs/raspberry-pi.md, Memory limits; prepare.sh --kernel-parameters)"
)


def memory_controller(root: Path = Path("/")) -> bool:
    """Control groups of version 2 list it at their root, those of version 1 in ``/proc/cgroups``.

    A kernel started with ``cgroup_disable=memory``, as Raspberry Pi OS does, has none, and takes
    every limit without a word. Where neither file is there none is in force either.
    """
    listed = root / "sys/fs/cgroup/cgroup.controllers"
    try:
        return "memory" in listed.read_text("ascii").split()
    except OSError:
        pass
    try:
        rows = (root / "proc/cgroups").read_text("ascii").splitlines()
    except OSError:
        return False
    return any(row.split()[0] == "memory" and row.split()[-1] == "1" for row in rows if row.strip())
