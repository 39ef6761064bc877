"""Numbers with their nouns, and text that cannot steer a terminal."""

import ast
import re
from pathlib import Path

import pytest

from tinytx.wording import counted, printable

PACKAGE = Path(__file__).parents[1] / "tinytx"


@pytest.mark.parametrize(
    ("number", "told"), [(0, "0 pairs"), (1, "1 pair"), (2, "2 pairs"), (1_500, "1,500 pairs")]
)
def test_one_is_one_and_the_rest_are_several(number: int, told: str) -> None:
    assert counted(number, "pair") == told


def test_a_plural_may_be_of_its_own_kind() -> None:
    assert counted(1, "process", "processes") == "1 process"
    assert counted(3, "process", "processes") == "3 processes"


@pytest.mark.parametrize(
    "one", ["\x1b", "\x00", "\x7f", "\x9b", "\n", "\r", "\u202e", "\u2028", "\udcff"]
)
def test_what_steers_a_terminal_becomes_a_question_mark(one: str) -> None:
    assert printable(f"a{one}[2Jb") == "a?[2Jb"


def test_letters_of_any_script_stay_and_so_does_what_may() -> None:
    assert printable("señor 你好 😀 [red]") == "señor 你好 😀 [red]"
    assert printable("one\ntwo\x1b", keep="\n") == "one\ntwo?"


def test_no_message_of_measuring_has_a_bare_number_of_pairs_cores_steps_or_reports() -> None:
    """ "1 cores": what can be one goes through ``counted``."""
    wrong = []
    for path in (PACKAGE / "measure").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                told = "".join(
                    str(one.value) if isinstance(one, ast.Constant) else "{}" for one in node.values
                )
                if re.search(r"(?<!of )\{\} (pairs|cores|reports|looks|threads were)\b", told):
                    wrong.append(f"{path.name}: {told}")
    assert wrong == []
