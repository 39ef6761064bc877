"""The store: a folder that holds releases by their ids, and links that say which one is served.

releases/ID/        a bundle's files, read-only; a file that several hold is there once
current, previous   links to releases/ID
incoming/           what is on its way: ID.manifest, SHA256.part, and SHA256 when it is whole
statements/         ID.json and ID.json.sig: what was signed about a release
proofs/ID.json      the report of the proof on this device
out-of-memory       when the kernel last killed the service for that; its unit writes it
journal             what was begun and done; see :mod:`tinytx.release.journal`
device.toml, allowed_signers, revoked_keys    what a person edits
"""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from errno import EDQUOT, ENOSPC, ENOSYS, EOPNOTSUPP, EPERM
from pathlib import Path

from tinytx.bundle import Bundle
from tinytx.errors import BundleError, DeviceError, UsageError
from tinytx.release import disk
from tinytx.release.journal import Journal, keep_reserve
from tinytx.release.policy import NAME, Policy, read_policy

DEFAULT = Path("/var/lib/tinytx")
VARIABLE = "TINYTX_STORE"
RELEASES = "releases"
_NO_LINKS = (EPERM, EOPNOTSUPP, ENOSYS)
_FULL = (ENOSPC, EDQUOT)
_ID = re.compile(r"[0-9a-f]{64}")
_PREFIX = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True)
class Store:
    """Names everything in a store; creates nothing by itself."""

    root: Path

    @property
    def releases(self) -> Path:
        return self.root / RELEASES

    @property
    def incoming(self) -> Path:
        return self.root / "incoming"

    @property
    def statements(self) -> Path:
        return self.root / "statements"

    @property
    def proofs(self) -> Path:
        return self.root / "proofs"

    @property
    def current(self) -> Path:
        return self.root / "current"

    @property
    def previous(self) -> Path:
        return self.root / "previous"

    @property
    def lock(self) -> Path:
        """Held by whoever changes what the store holds, for as long as that takes."""
        return self.root / "lock"

    @property
    def receive_lock(self) -> Path:
        return self.root / "receive.lock"

    @property
    def watch_lock(self) -> Path:
        return self.root / "watch.lock"

    @property
    def serve_lock(self) -> Path:
        """Held by the service for as long as it lives."""
        return self.root / "serve.lock"

    @property
    def signers(self) -> Path:
        return self.root / "allowed_signers"

    @property
    def serving(self) -> Path:
        """What the service wrote about itself."""
        return self.root / "serving.json"

    def journal(self, command: str) -> Journal:
        return Journal(self.root, command)

    def policy(self) -> Policy:
        """Raises :class:`UsageError`."""
        return read_policy(self.root / NAME)

    def release(self, release: str) -> Path:
        return self.releases / release

    def manifest(self, release: str) -> Path:
        """Of a release that was offered."""
        return self.incoming / f"{release}.manifest"

    def installed(self) -> list[str]:
        """The ids of every release folder."""
        try:
            return sorted(e.name for e in self.releases.iterdir() if _ID.fullmatch(e.name))
        except OSError:
            return []

    def target(self, link: Path) -> str:
        """The id that ``current`` or ``previous`` names; empty for none, also for a link that leads
        out of the store."""
        try:
            where = link.readlink()
        except OSError:
            return ""
        ours = where in (Path(RELEASES, where.name), self.releases / where.name)
        return where.name if ours and _ID.fullmatch(where.name) else ""

    def lead(self, link: Path, release: str) -> None:
        """Let ``current`` or ``previous`` name a release; empty: nothing."""
        if release:
            disk.point(link, f"{RELEASES}/{release}")
        elif os.path.lexists(link):
            disk.remove(link)

    def bundle(self, release: str) -> Bundle:
        """A release of this store, each file checked. Raises :class:`BundleError`."""
        bundle = Bundle(self.release(release))
        if bundle.id != release:
            raise BundleError(f"{self.release(release)} holds the bundle {bundle.id}")
        bundle.check_files()
        return bundle

    def is_whole(self, release: str) -> bool:
        """Whether every byte of a release is there and as its manifest says."""
        try:
            return bool(release) and bool(self.bundle(release))
        except BundleError:
            return False

    def resolve(self, text: str) -> str:
        """The id that ``text`` begins (8 digits at least). Raises :class:`UsageError`."""
        if _ID.fullmatch(text):
            return text
        offered = [p.stem for p in self.incoming.glob("*.manifest") if _ID.fullmatch(p.stem)]
        fitting = {i for i in [*self.installed(), *offered] if i.startswith(text)}
        if not _PREFIX.fullmatch(text) or len(fitting) != 1:
            raise UsageError(
                f"{text!r} names no release of this store",
                "give its id: 64 hexadecimal digits, or as many of them (8 at least) as tell it "
                "from the others",
            )
        return fitting.pop()


def is_id(text: str) -> bool:
    """Whether ``text`` is a sha256 in hexadecimal."""
    return bool(_ID.fullmatch(text))


def find(folder: Path | None) -> Path:
    """``folder``, else ``$TINYTX_STORE``, else :data:`DEFAULT`; absolute."""
    chosen = folder or Path(os.environ.get(VARIABLE) or DEFAULT)
    return Path(os.path.abspath(chosen))  # noqa: PTH100 - a link to the store may stay one


def look(folder: Path | None) -> Store:
    """A store that is there, to read from. Raises :class:`DeviceError`."""
    root = find(folder)
    if not root.is_dir():
        raise DeviceError(
            f"there is no store at {root}",
            f"say where it is with --store FOLDER or {VARIABLE}; the first offer makes one",
        )
    return Store(root)


def open_store(folder: Path | None, *, create: bool = False) -> Store:
    """A store that this process may change, with all its folders. Raises :class:`DeviceError`."""
    root = find(folder)
    try:
        if create and not root.exists():
            root.mkdir(parents=True, exist_ok=True)
            disk.sync(root.parent)
        store = look(root)
        _check_owner(root)
        _try_links(root)
        parts = (store.releases, store.incoming, store.statements, store.proofs)
        if new := [part for part in parts if not part.is_dir()]:
            for part in new:
                part.mkdir(exist_ok=True)
            disk.sync(root)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise DeviceError(f"cannot use the store {root}: {error.strerror}{where}") from error
    keep_reserve(root)
    return store


def _check_owner(root: Path) -> None:
    owner, me = root.stat().st_uid, os.geteuid()
    if owner != me:
        name = _user(owner)
        raise DeviceError(
            f"the store {root} belongs to {name}, and this is {_user(me)}",
            f"run it as its owner: sudo -u {name} tinytx release ...",
        )


def _user(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _try_links(root: Path) -> None:
    """Make a link and a hard link and replace one by the other, as every switch will."""
    one, two = root / f".try-{os.getpid()}", root / f".try-{os.getpid()}.new"
    try:
        one.symlink_to(f"{RELEASES}/none")
        two.symlink_to(f"{RELEASES}/other")
        two.replace(one)
        one.unlink()
        one.touch()
        two.hardlink_to(one)
    except OSError as error:
        if error.errno in _NO_LINKS:
            raise DeviceError(
                f"the file system of {root} has no links ({error.strerror}), and switching "
                "from one release to the next needs them",
                "put the store on ext4, btrfs or xfs; vfat and exfat have none",
            ) from error
        if error.errno not in _FULL:  # the way back must be open on a full disk too
            raise
    finally:
        for each in (one, two):
            with suppress(OSError):
                each.unlink(missing_ok=True)
