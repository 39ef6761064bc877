"""Is this the machine itself, or a container that shows a part of it?"""

import re
from pathlib import Path

from tinytx.measure.machine.sensors import text

MARKS = {".dockerenv": "Docker", "run/.containerenv": "Podman"}
PATHS = {
    "docker": "Docker",
    "libpod": "Podman",
    "kubepods": "Kubernetes",
    "containerd": "containerd",
}


def kind(root: Path) -> str:
    """What kind of container this process is in; empty on the machine itself.

    The files that engines leave also lie on disks that were made from an image: where the kernel's
    own threads can be seen, this is no container (but for one with ``--pid host``).
    """
    if text(root / "proc/2/comm").strip() == "kthreadd":
        return ""
    for name, engine in MARKS.items():
        if (root / name).exists():
            return engine
    groups = text(root / "proc/self/cgroup")
    found = re.search(rf"[/:-]({'|'.join(PATHS)})[/:.-]", groups)
    return PATHS[found.group(1)] if found else ""
