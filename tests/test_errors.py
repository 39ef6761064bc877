"""Every deliberate failure has the exit code that the design gives it."""

import errno
import inspect
import os
from pathlib import Path

import pytest

from tinytx import errors
from tinytx.cli.main import run
from tinytx.errors import CorpusError, ExportError, TinytxError, UsageError, os_errors_as
from tinytx.runtime import golden

DESIGN = {
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
KINDS = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, TinytxError) and kind is not TinytxError
}


def test_the_errors_and_their_exit_codes_are_those_of_the_design() -> None:
    assert {name: kind.exit_code for name, kind in KINDS.items()} == DESIGN
    assert errors.EXIT_BUG == 70


def test_the_tree_in_the_docstring_names_every_error_with_its_code() -> None:
    tree = str(errors.__doc__)
    for name, code in DESIGN.items():
        line = next(line for line in tree.splitlines() if f"── {name} " in line)
        assert line.split(name)[1].split()[0] == str(code)


@pytest.mark.parametrize("name", DESIGN)
def test_the_command_line_ends_with_the_code_of_the_error_and_tells_its_message_and_remedy(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KINDS[name]("it did not work", "try something else")

    monkeypatch.setattr(golden, "verify", fail)
    assert run(["verify", "x"]) == DESIGN[name]
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "tinytx: it did not work\n  -> try something else\n"


def test_anything_else_is_a_bug_and_says_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(golden, "verify", lambda *_, **__: 1 // 0)
    assert run(["verify", "x"]) == 70
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "a bug in tinytx: ZeroDivisionError" in err


def test_ctrl_c_ends_with_130_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(golden, "verify", interrupt)
    assert run(["verify", "x"]) == 130
    assert capsys.readouterr().err.strip() == "tinytx: interrupted"


def test_a_full_disk_behind_the_output_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(golden, "verify", full)
    assert run(["verify", "x"]) == 1
    assert capsys.readouterr().err == "tinytx: cannot write: no space left\n"


def test_os_errors_become_one_sentence_with_the_file(tmp_path: Path) -> None:
    missing = tmp_path / "missing.txt"
    with pytest.raises(CorpusError) as caught, os_errors_as(CorpusError, "read the corpus"):
        missing.read_bytes()
    message = f"cannot read the corpus: No such file or directory ({missing})"
    assert caught.value.message == message
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_an_os_error_without_a_number_or_a_file_is_told_in_its_own_words() -> None:
    with pytest.raises(ExportError, match=r"^cannot write: strange$"):  # noqa: SIM117
        with os_errors_as(ExportError, "write"):
            raise OSError("strange")


def test_other_errors_pass_through_unchanged() -> None:
    with pytest.raises(ZeroDivisionError), os_errors_as(ExportError, "write"):
        _ = 1 // 0
    with pytest.raises(UsageError, match="ours"), os_errors_as(ExportError, "write"):
        raise UsageError("ours")
    with os_errors_as(ExportError, "write"):
        pass


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain señora 水", "plain señora 水"),
        (os.fsdecode(b"caf\xe9/\xff.txt"), "caf\\xe9/\\xff.txt"),
        ("\ud83e alone", "\\ud83e alone"),
        ("\ud83e and \udce9", "\\ud83e and \\udce9"),
    ],
)
def test_a_message_can_be_written_whatever_a_file_is_called(name: str, shown: str) -> None:
    error = CorpusError(f"cannot read {name}", f"rename {name}")
    assert error.message == str(error) == f"cannot read {shown}"
    assert error.remedy == f"rename {shown}"
    error.message.encode()
