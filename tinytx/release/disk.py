"""Changes of the file system that outlast a loss of power, each whole or not there at all.

What is written reaches the disk before its name does, and a name before anything is said of it.
"""

import hashlib
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

CHUNK = 1 << 20


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace ``path`` with ``data``: whoever is killed leaves the old file or the new one."""
    new = path.with_name(f".{path.name}.new")
    try:
        with new.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        new.chmod(mode)
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise
    sync(path.parent)


def point(link: Path, target: str) -> None:
    """Make ``link`` lead to ``target`` by the rename of a new link: it is never missing."""
    new = link.with_name(f".{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    _clear(link)
    new.replace(link)
    sync(link.parent)


def _clear(link: Path) -> None:
    """A folder in a link's place, as a copy that follows links leaves it, is set aside."""
    if link.is_dir() and not link.is_symlink():
        link.rename(link.with_name(f"{link.name}.folder-{time.time_ns()}"))


def remove(path: Path) -> None:
    """Delete a file or a link; its being gone is on the disk."""
    _clear(path)
    path.unlink(missing_ok=True)
    sync(path.parent)


def remove_folder(folder: Path) -> None:
    """Delete a folder of files that may be read-only. It is renamed first, so that no half of it
    is ever found under its name."""
    import shutil  # not at the top: a watch that waits needs none of it

    if not folder.is_dir():
        return
    folder.chmod(0o755)
    old = folder if folder.name.startswith(".") else folder.with_name(f".old-{folder.name}")
    if old != folder:
        shutil.rmtree(old, ignore_errors=True)
        folder.replace(old)
    shutil.rmtree(old)
    sync(folder.parent)


def sha256(path: Path) -> str:
    """Of a regular file, in hexadecimal; empty when there is none, or a link."""
    digest = hashlib.sha256()
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return ""
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()


def free_bytes(folder: Path) -> int:
    """Bytes that this user may still write there."""
    facts = os.statvfs(folder)
    return facts.f_bavail * facts.f_frsize
