"""Markdown for a pull request: complete, and hostile text stays text."""

import dataclasses
import re

import pytest
from markdown_it import MarkdownIt
from msgspec.structs import replace

from tinytx.measure.limits.canary import LimitProof
from tinytx.measure.memory.attribution import Attribution, Part
from tinytx.measure.pages import markdown
from tinytx.measure.policy.budgets import Verdict
from tinytx.measure.record.report import Report


def test_the_verdicts_are_in_sight_and_the_rest_is_folded_away(report: Report) -> None:
    text = markdown.render(report)
    head = text[: text.index("<details>")]
    assert head.startswith("### ✅ tinytx bench: PASS\n")
    assert "| next token, p95 | 0.531 ms | 0.620 ms | ≤ 250 ms | ✅ PASS |" in head
    assert text.count("<details>") == text.count("</details>") == 4
    assert "| next token at 256 | 100 |" in text


def test_every_row_of_a_table_has_as_many_cells_as_its_heading(report: Report) -> None:
    row = replace(report.budgets[0], reason="a | b", basis="c | d\n| e |")
    text = markdown.render(replace(report, budgets=[row]))
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("a_b*c*", r"a\_b\*c\*"),
        ("<img src=x>", "&#60;img src=x&#62;"),
        ("@everyone | &amp;", "&#64;everyone &#124; &#38;amp;"),
        ("line\n# heading", r"line \# heading"),
        ("[x](javascript:y)", r"\[x\]\(javascript&#58;y\)"),
        ("`code`", r"\`code\`"),
    ],
)
def test_marks_in_text_are_shown_and_do_nothing(words: str, shown: str) -> None:
    assert markdown.text(words) == shown


HOSTILE = (
    "</summary><img src=x>|`` ` @x [a](b) ![a](b) **b** # h\n- i\n\n<b>1. n</b> ~~s~~ http://x.y"
)


def test_an_independent_reader_finds_no_markup_in_hostile_text(report: Report) -> None:
    def told(name: str) -> Report:
        rows = [replace(row, reason=name, basis=name) for row in report.budgets]
        machine = dataclasses.replace(
            report.after, processor=name, device=name, kernel=name, governor=name
        )
        bundle = replace(report.bundle, id=name, path=name, precision=name)
        scenarios = [replace(one, name=name) for one in report.scenarios]
        return replace(report, budgets=rows, before=machine, after=machine, bundle=bundle,
                       scenarios=scenarios, started_at=name)  # fmt: skip

    def kinds(text: str) -> list[str]:
        reader = MarkdownIt("gfm-like", {"linkify": False})
        tokens = [t for block in reader.parse(text) for t in [block, *(block.children or [])]]
        return [
            token.type if not token.type.startswith("html") else token.content.strip()
            for token in tokens
            if token.type not in ("text", "text_special")
        ]

    harmless, attacked = markdown.render(told("plain")), markdown.render(told(HOSTILE))
    assert "img src=x" in attacked
    assert kinds(attacked) == kinds(harmless)


def test_a_code_span_holds_backticks_and_no_pipe() -> None:
    assert markdown.code("x") == "`x`"
    assert markdown.code("a`b``c") == "``` a`b``c ```"
    assert markdown.code("a|b\nc") == "`a¦b c`"


def test_attribution_and_limit_are_told_when_there_are_any(report: Report) -> None:
    found = Attribution(4_000_000, [Part("a|b", 3_000_000, "")], 0, 1.0, [])
    proof = LimitProof(True, 512_000_000, "control group", "", "killed")
    text = markdown.render(replace(report, attribution=found, limit=proof))
    assert "| a&#124;b | 3 MB | 75.0% |" in text
    assert "- a limit of 512 MB was enforced: control group, killed" in text


def test_a_fail_says_why(report: Report) -> None:
    row = replace(report.budgets[0], verdict=Verdict.FAIL, reason="420 MB is over the limit")
    text = markdown.render(replace(report, verdict=Verdict.FAIL, budgets=[row]))
    assert "- **FAIL** memory at rest \\(RSS\\): 420 MB is over the limit" in text
