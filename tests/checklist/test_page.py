"""The checklist as Markdown, and what fourteen items together say."""

from tinytx.checklist.items import (
    ITEMS,
    Found,
    Item,
    State,
    done,
    item,
    not_done,
    overall,
    together,
    unknown,
)
from tinytx.checklist.page import markdown


def all_of(found: Found) -> list[Item]:
    return [item(name, found, "my bundle", "pi", "ab" * 32) for name in ITEMS]


def test_there_are_fourteen_each_with_a_title_and_a_command_that_can_be_typed() -> None:
    items = all_of(done("yes"))
    assert [one.number for one in items] == list(range(1, 15))
    assert len({one.title for one in items}) == 14
    for one in items:
        assert "{" not in one.command
        assert any(word in one.command for word in ("'my bundle'", "pi", "OUTPUT_DIR", "abab"))
        assert "ID" not in one.command


def test_what_is_not_done_comes_before_what_cannot_be_told() -> None:
    items = all_of(done("yes"))
    assert overall(items) is State.DONE
    items[3] = item("quality", unknown("?"), "b", "")
    assert overall(items) is State.UNKNOWN
    items[5] = item("budgets", not_done("no"), "b", "")
    assert overall(items) is State.NOT_DONE


def test_of_several_sources_a_failure_counts_most_and_then_what_shows_it() -> None:
    assert together([unknown("a"), done("b")]) == done("b")
    assert together([done("b"), not_done("c"), not_done("d")]) == not_done("c; d")
    assert together([]).state is State.UNKNOWN


def test_the_page_ticks_what_is_done_and_gives_commands_for_the_rest() -> None:
    items = all_of(done("yes"))
    items[12] = item("rollback", not_done("<b>never</b> `x` [y](z)"), "b", "pi")
    page = markdown("ab" * 32, "pi", items)
    assert page.startswith("## Before the release: not done\n")
    assert "13 done, 1 not done" in page
    assert page.count("- [x] ") == 13
    assert "- [ ] 13. a rollback was tried on the device: **not done**: " in page
    assert '`tinytx rollback pi --reason "a trial" && tinytx deploy pi b`' in page
    assert "<b>" not in page
    assert "[y](z)" not in page
