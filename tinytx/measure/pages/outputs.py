"""The files that a report is written to: JSON, Markdown and HTML, checked before measuring."""

from dataclasses import dataclass
from pathlib import Path

from tinytx.errors import UsageError, os_errors_as
from tinytx.measure.pages import html, markdown
from tinytx.measure.record import report as reports
from tinytx.measure.record.report import Report
from tinytx.workspace import atomic_file, atomic_write


@dataclass(frozen=True)
class Outputs:
    """Where a report goes; each format is written only when it has a place."""

    json: Path | None = None
    markdown: Path | None = None
    html: Path | None = None

    @property
    def places(self) -> dict[str, Path]:
        """The option that named each file, and the file."""
        named = {"--report": self.json, "--markdown": self.markdown, "--html": self.html}
        return {option: path for option, path in named.items() if path is not None}

    def check(self, bundle: Path | None = None, source: Path | None = None) -> None:
        """Raise :class:`UsageError` now, not after a minute of measuring.

        No file may lie in ``bundle``, replace ``source``, or be named twice.
        """
        taken = {} if source is None else {source.resolve(): "the report that is read"}
        for option, path in self.places.items():
            where = path.resolve()
            if where in taken:
                raise UsageError(f"{option} {path} is also {taken[where]}: choose another name")
            taken[where] = f"the file of {option}"
            check_writable(path, option, bundle)

    def write(self, report: Report) -> None:
        """Write every format that is wanted, each whole or not at all.

        Raises the :class:`UsageError` of the first that cannot be written, after all were tried.
        """
        failed: list[UsageError] = []
        for path, write in (
            (self.json, reports.write),
            (self.markdown, lambda path, report: write_text(path, markdown.render(report))),
            (self.html, lambda path, report: write_text(path, html.render(report))),
        ):
            try:
                if path is not None:
                    write(path, report)
            except UsageError as error:
                failed.append(error)
        if failed:
            raise failed[0]


def write_text(path: Path, text: str) -> None:
    """Write a page. Raises :class:`UsageError`; an older file then stays as it was."""
    with os_errors_as(UsageError, f"write {path}"):
        atomic_write(path, text.encode("utf-8", "replace"))


def check_writable(path: Path, option: str, bundle: Path | None = None) -> None:
    """Raise :class:`UsageError` when ``path``, which ``option`` named, cannot be written."""
    if str(path) == "-":
        raise UsageError(f"{option} needs the name of a file", "--json prints to standard output")
    if bundle is not None and path.resolve().is_relative_to(bundle.resolve()):
        raise UsageError(f"{option} {path} is inside the bundle, which would damage it")
    try:
        if path.is_dir():
            raise UsageError(f"{option} {path} is a folder, not a file")
        if path.exists() and not path.is_file():
            raise UsageError(f"{option} {path} is a device or a pipe, which must not be replaced")
        probe = path.with_name(f".{path.name}.probe")
        with atomic_file(probe):
            pass
        probe.unlink()
    except OSError as error:
        raise UsageError(f"cannot write {option} {path}: {error.strerror}") from error
