"""From files that came to a release in the store, read-only and verified."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinytx import bundle as bundles
from tinytx.errors import BundleError, TinytxError
from tinytx.release import disk, intake, states
from tinytx.release.journal import Journal
from tinytx.release.store import Store
from tinytx.release.work import Work


@dataclass(frozen=True)
class Installed:
    """How an installation ended."""

    release: str
    unchanged: bool
    """Whether this release is the one in force or on trial, so that nothing was to do."""
    linked: int
    """Files that another release holds too: they are in the store once."""
    serial: int | None
    trust: str
    """What vouches for the release, in words."""


def install(work: Work, release: str, *, allow_older: bool = False) -> Installed:
    """Make ``releases/ID`` of what was offered and came; check every hash, signature and policy.

    Raises :class:`BundleError`, :class:`TrustError` or :class:`DeviceError`: the release is then
    rolled back with the reason, and what is served stays.
    """
    store, journal = work.store, work.journal
    entries = journal.entries()
    if release == store.target(store.current):
        return _mended(store, journal, entries, release)
    with giving_up(journal, release):
        with journal.step(release, "received"):
            manifest = _manifest(store, release)
            sources = _sources(store, manifest)
        with journal.step(release, "verified") as notes:
            found = trusted(store, release, entries, allow_older=allow_older)
            linked = _build(store, manifest, sources)
            store.bundle(release)  # every byte, at its final place
            notes |= {name: value for name, value in found.items() if value not in (None, "")}
    intake.tidy(store)
    return Installed(release, False, linked, found["serial"], found["note"])


def _mended(store: Store, journal: Journal, entries: list[states.Entry], release: str) -> Installed:
    """The release that is served: nothing to do, but to replace files that were damaged since."""
    serial = states.serial(entries, release)
    if store.is_whole(release):
        return Installed(release, True, 0, serial, "")
    manifest = _manifest(store, release)
    linked = _build(store, manifest, _sources(store, manifest))
    store.bundle(release)
    if states.on_trial(entries) is None:
        journal.add(release, "committed", "done", "damaged files were replaced", serial=serial)
    intake.tidy(store)
    return Installed(release, False, linked, serial, "")


@contextmanager
def giving_up(journal: Journal, release: str) -> Iterator[None]:
    """What fails before the switch ends in ``rolled-back``, with the reason; if the disk is so full
    that this cannot be written, the next recovery does it."""
    try:
        yield
    except TinytxError as error:
        journal.give_up(release, error.message)
        raise
    except OSError as error:
        with suppress(TinytxError):
            journal.give_up(release, error.strerror or str(error))
        raise


def _manifest(store: Store, release: str) -> bundles.Manifest:
    """As it was offered, or of the release that is there already."""
    offered = store.manifest(release)
    where = offered if offered.is_file() else store.release(release) / bundles.MANIFEST
    if not where.is_file():
        raise BundleError(f"the release {release} was not offered", "offer its manifest first")
    manifest = bundles.parse_manifest(where.read_bytes(), where)
    if manifest.id != release:
        raise BundleError(f"{where} is the manifest of another bundle, {manifest.id}")
    return manifest


def _sources(store: Store, manifest: bundles.Manifest) -> dict[str, Path]:
    """Where each file is. Raises :class:`BundleError` when one is not here."""
    found = {
        name: intake.held_somewhere(store, facts.sha256, facts.size)
        for name, facts in manifest.files.items()
    }
    if missing := [name for name, path in found.items() if path is None]:
        raise BundleError(
            f"{', '.join(missing)} of the release {manifest.id} did not come",
            "offer it again and send what is missing",
        )
    return {name: path for name, path in found.items() if path is not None}


def _build(store: Store, manifest: bundles.Manifest, sources: dict[str, Path]) -> int:
    """The folder of a release; returns how many files another release holds too."""
    final = store.release(manifest.id)
    if final.is_dir():
        _mend(final, manifest, sources)
    else:
        new = store.releases / f".new-{manifest.id}"
        disk.remove_folder(new)
        new.mkdir(0o755)
        _fill(new, manifest, sources)
        new.replace(final)
        disk.sync(store.releases)
    return sum(store.releases in path.parents and final != path.parent for path in sources.values())


def _fill(folder: Path, manifest: bundles.Manifest, sources: dict[str, Path]) -> None:
    for name, source in sources.items():
        (folder / name).hardlink_to(source)
        _seal(folder / name)
    disk.write(folder / bundles.MANIFEST, bundles.encode(manifest), 0o444)
    folder.chmod(0o555)
    disk.sync(folder)


def _seal(path: Path) -> None:
    path.chmod(0o444)
    disk.sync(path)


def _mend(folder: Path, manifest: bundles.Manifest, sources: dict[str, Path]) -> None:
    """Replace what is damaged in a release that is there, file by file, and take away what does
    not belong to it: its name is never missing, since ``current`` may lead to it. What is whole is
    not touched: renaming one name of a file over another of it does nothing, and would leave both
    in a folder that may be the way back."""
    folder.chmod(0o755)
    for name, source in sources.items():
        if disk.sha256(folder / name) != manifest.files[name].sha256:
            new = folder / f".{name}.new"
            new.unlink(missing_ok=True)
            new.hardlink_to(source)
            _seal(new)
            new.replace(folder / name)
    told = folder / bundles.MANIFEST
    if not told.is_file() or told.read_bytes() != bundles.encode(manifest):
        disk.write(told, bundles.encode(manifest), 0o444)
    for path in folder.iterdir():
        if path.name != bundles.MANIFEST and path.name not in manifest.files:
            path.unlink()
    folder.chmod(0o555)
    disk.sync(folder)


def trusted(
    store: Store, release: str, entries: list[states.Entry], *, allow_older: bool
) -> dict[str, Any]:
    """What vouches for a release here. Raises :class:`TrustError`."""
    from tinytx.release import trust

    accepted = states.committed(entries)
    serial = accepted.serial if accepted is not None else None
    found = trust.check(store.root, release, store.policy(), serial, allow_older=allow_older)
    return {
        "serial": found.serial,
        "channel": found.channel,
        "key": found.by,
        "note": found.note,
    }


def keep_statement(store: Store, release: str, text: Path, signature: Path | None) -> None:
    """Put what was signed about a release into the store. Raises :class:`BundleError`."""
    from tinytx.files import read_bounded
    from tinytx.release import statement, trust

    armored = read_bounded(signature, statement.MAX_BYTES) if signature else b""
    signed = trust.Signed(
        read_bounded(text, statement.MAX_BYTES), armored.decode("ascii", "replace")
    )
    trust.keep(store.root, release, signed)
