"""Where a control group with the memory controller can be made, or why nowhere.

The account of the kernel's own files, in the order of their authority: on version 2 the controllers
of ``cgroup.controllers``; ``/proc/cgroups`` counts only where it lists "memory", since kernels
built without the old version leave it out although the controller is on (Linux 6.12 and later).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tinytx.measure.limits.groups import PREFIX, Place, temporary_group
from tinytx.measure.limits.parameters import Obstacle, no_controller
from tinytx.measure.machine import containers

CONTROLLERS = "cgroup.controllers"
PASSED_ON = "cgroup.subtree_control"
PROCESSES = "cgroup.procs"
DELEGATE = "run it as root, or in a group of your own: systemd-run --user --scope -p Delegate=yes"
FROM_OUTSIDE = "measure from the host: `tinytx bench --container` proves the limit with a canary"
"""What helps in a container, which may make no groups."""


@contextmanager
def find_place(root: Path = Path("/")) -> Iterator[Place | Obstacle]:
    """A place for new groups, prepared; what preparing changed is undone afterwards."""
    place = _version_1(root) or _version_2(root)
    if isinstance(place, Obstacle):
        yield _for_here(root, place)
    elif place.version == 1 or _passes_on(place.folder):
        yield _for_here(root, _tried(place))
    else:
        with _stepped_aside(place.folder) as trouble:
            yield _for_here(root, trouble or _tried(place))


def _for_here(root: Path, found: Place | Obstacle) -> Place | Obstacle:
    """What is found, with advice that can be followed here."""
    if isinstance(found, Obstacle) and found.remedy == DELEGATE and containers.kind(root):
        return found._replace(remedy=FROM_OUTSIDE)
    return found


def _tried(place: Place) -> Place | Obstacle:
    """The place, if a group can be made there and this process could enter it."""
    try:
        with temporary_group(place) as group:
            entry = group.folder / PROCESSES
            if not os.access(entry, os.W_OK):
                raise PermissionError(13, "Permission denied", str(entry))
    except OSError as error:
        return Obstacle(
            f"no control group can be made in {place.folder}: {error.strerror}", DELEGATE
        )
    return place


def _version_1(root: Path) -> Place | None:
    """This process's own group of version 1, where the memory controller is on it."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            base = root / "sys/fs/cgroup/memory"
            for folder in (base / path.lstrip("/"), base):  # in a container, the base is its own
                if (folder / "memory.limit_in_bytes").exists():
                    return Place(1, folder)
    return None


def _version_2(root: Path) -> Place | Obstacle:
    """The nearest group, from this process's own upwards, whose children can have a limit."""
    base = root / "sys/fs/cgroup"
    if not (base / CONTROLLERS).exists():
        base = base / "unified"
    if "memory" not in _words(base / CONTROLLERS):
        return no_controller(root, base)
    own = base / _own_path(root)
    own = own if own.is_dir() else base
    chain = [own, *(folder for folder in own.parents if folder.is_relative_to(base))]
    ours = [f for f in chain if os.access(f, os.W_OK) and os.access(f / PROCESSES, os.W_OK)]
    for folder in ours:
        if _passes_on(folder):
            return Place(2, folder)
    if own in ours and "memory" in _words(own / CONTROLLERS):
        return Place(2, own)
    if ours:
        reason = f"the memory controller is not delegated to {ours[0]}"
    else:
        reason = f"no permission to make a control group in {own}"
        if os.access(own, os.W_OK) is False and os.geteuid() == 0:
            reason = f"{base} is mounted read-only, as in a container"
            return Obstacle(reason, FROM_OUTSIDE)
    return Obstacle(reason, DELEGATE)


@contextmanager
def _stepped_aside(folder: Path) -> Iterator[Obstacle | None]:
    """Let the children of this process's own group have the memory controller.

    Version 2 allows that only for a group without processes of its own, so this process moves into
    a child meanwhile; with strangers in the group it stays where it is.
    """
    aside = folder / f"{PREFIX}-{os.getpid()}-self"
    changed = False
    try:
        try:
            aside.mkdir()
            (aside / PROCESSES).write_text(str(os.getpid()))
            (folder / PASSED_ON).write_text("+memory")
        except OSError as error:
            why = f"the memory controller cannot be passed on in {folder}: {error.strerror}"
            yield Obstacle(why, DELEGATE)
        else:
            changed = True
            yield None
    finally:
        with suppress(OSError):
            if changed:
                (folder / PASSED_ON).write_text("-memory")
        with suppress(OSError):
            (folder / PROCESSES).write_text(str(os.getpid()))
        with suppress(OSError):
            aside.rmdir()


def _own_path(root: Path) -> str:
    """This process's group of version 2, relative to the root of its hierarchy."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        if line.startswith("0::"):
            return line[3:].lstrip("/")
    return ""


def _passes_on(folder: Path) -> bool:
    return "memory" in _words(folder / PASSED_ON)


def _words(path: Path) -> list[str]:
    return _text(path).split()


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
