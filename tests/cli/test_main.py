"""One place turns an error into a message and a code."""

from collections.abc import Callable, Iterator

import click
import pytest

from tinytx import __version__, errors
from tinytx.cli import doctor
from tinytx.cli.main import COMMANDS, run
from tinytx.errors import TinytxError

CODES = {
    "PrerequisiteError": 1,
    "LibraryError": 1,
    "CorpusError": 2,
    "TokenizerError": 3,
    "TrainingError": 4,
    "CheckpointError": 4,
    "ProcessLost": 4,
    "ValidationError": 5,
    "ExportError": 6,
    "ParityError": 6,
    "BudgetFailed": 7,
    "MeasurementInvalid": 8,
    "BundleError": 9,
    "TrustError": 9,
    "DeviceError": 10,
    "UsageError": 64,
    "OverwriteRefused": 64,
    "PlanError": 64,
    "Interrupted": 130,
}
"""The design's table."""

Raise = Callable[[BaseException], int]


@pytest.fixture
def failing_with(monkeypatch: pytest.MonkeyPatch) -> Raise:
    """Runs a command that raises an error; returns the exit code."""

    def with_error(error: BaseException) -> int:
        @click.command()
        def command() -> None:
            raise error

        monkeypatch.setattr(doctor, "command", command)
        return run(["doctor"])

    return with_error


def descendants(kind: type[TinytxError]) -> Iterator[type[TinytxError]]:
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


@pytest.mark.parametrize(("name", "code"), CODES.items())
def test_each_deliberate_failure_ends_with_its_code_one_sentence_and_the_remedy(
    failing_with: Raise, capsys: pytest.CaptureFixture[str], name: str, code: int
) -> None:
    assert failing_with(getattr(errors, name)("it broke", "mend it")) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "tinytx: it broke\n  -> mend it\n"


def test_the_table_above_has_every_deliberate_failure() -> None:
    assert {kind.__name__ for kind in descendants(TinytxError)} >= CODES.keys()
    for kind in descendants(TinytxError):
        if kind.__module__ == "tinytx.errors":
            assert kind.__name__ in CODES
        assert kind.exit_code in CODES.values()


def test_without_a_remedy_there_is_no_second_line(
    failing_with: Raise, capsys: pytest.CaptureFixture[str]
) -> None:
    failing_with(errors.CorpusError("it broke"))
    assert capsys.readouterr().err == "tinytx: it broke\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--no-such-flag"],
        ["train", "--epochs", "many"],
        ["train", "--learning-rate"],
        ["train", "surplus"],
        ["no-such-command"],
        ["--no-such-flag"],
        ["generate"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_64_and_not_with_clicks_own_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(arguments) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tinytx: ")
    assert "Traceback" not in err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()], ids=repr)
def test_an_interruption_ends_with_130(
    failing_with: Raise, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    assert failing_with(error) == 130
    assert "interrupted" in capsys.readouterr().err


def test_anything_unexpected_is_a_bug_of_ours_and_shows_where(
    failing_with: Raise, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing_with(ZeroDivisionError("who divided?")) == 70
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "tinytx: a bug in tinytx: ZeroDivisionError: who divided?" in err
    assert "please report" in err


def test_a_reader_that_has_gone_is_no_failure(failing_with: Raise) -> None:
    assert failing_with(BrokenPipeError(32, "Broken pipe")) == 0


def test_too_little_memory_is_said_without_a_traceback(
    failing_with: Raise, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing_with(MemoryError()) == 70
    err = capsys.readouterr().err
    assert "not enough memory" in err
    assert "Traceback" not in err


def test_success_ends_with_0_and_the_version_goes_to_stdout(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Example" in out
    assert f"tinytx {name}" in out


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)


def test_a_name_in_a_message_can_not_steer_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["verify", "a\x1b[2Jb\r\udcff"]) == 9
    err = capsys.readouterr().err
    assert err.startswith("tinytx: a?[2Jb?")
    assert {one for one in err if not one.isprintable()} == {"\n"}
