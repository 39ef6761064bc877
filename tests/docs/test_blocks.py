"""Blocks and what they print: what is taken for the same, and what is not."""

from pathlib import Path

import pytest

from tests.docs.blocks import Printed, blocks_of, difference
from tests.docs.running import Wrong, execute

PAGE = """# A page

```python run
x = 2
print(x)
```

<!-- prints -->
```
2
```

```toml file own.toml
epochs = 3
```

```sh run 0 3
cat own.toml
exit 3
```

<!-- prints, figures within 5 % -->
```
epochs = 3
```
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tests.docs.running.ROOT", tmp_path)
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def test_a_block_knows_its_line_its_kind_and_what_it_prints(page: Path) -> None:
    first, second, third = blocks_of(page)
    assert (first.kind, first.line, first.printed) == ("python run", 4, Printed("2\n", 0.0))
    assert (second.kind, second.code, second.printed) == (
        "toml file own.toml",
        "epochs = 3\n",
        None,
    )
    assert third.printed == Printed("epochs = 3\n", 0.05)


def test_a_page_is_run_in_its_order(page: Path, tmp_path: Path) -> None:
    assert execute(page, tmp_path, tmp_path) == 2


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("x = 2", "x = 3", r"page.md:4: the page says\n2"),
        ("print(x)", "print(y)", "page.md:4: NameError"),
        ("exit 3", "exit 4", "page.md:18: ended with 4"),
        ("epochs = 3\n```\n\n```sh", "epochs = 4\n```\n\n```sh", "says 3, printed was 4"),
    ],
)
def test_a_page_that_is_not_true_says_where(
    page: Path, tmp_path: Path, old: str, new: str, why: str
) -> None:
    page.write_text(PAGE.replace(old, new, 1))
    with pytest.raises(Wrong, match=why):
        execute(page, tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("loss 2.000 nats", "loss 2.090 nats"),
        ("1,000 tokens in ... s", "1,040 tokens in 3.1 s"),
        ("a   1 |\n", "a 1 |"),
        ("first\n...\nlast 5", "first\nx 1\ny 2\nlast 5"),
        ("-1.0e-3 v2.x", "-1.02e-3 v2.x"),
    ],
)
def test_figures_may_be_off_by_the_stated_share(said: str, found: str) -> None:
    assert difference(Printed(said, 0.05), found) == ""


@pytest.mark.parametrize(
    ("said", "found", "tolerance"),
    [
        ("loss 2.000 nats", "loss 2.110 nats", 0.05),
        ("loss 2.000 nats", "loss 2.000 bits", 0.05),
        ("first\nlast", "first\nmiddle\nlast", 0.05),
        ("0 failed", "1 failed", 0.5),
        ("1.0", "-1.0", 0.5),
        ("2.000", "2.001", 0.0),
        ("int8", "int4", 0.9),
    ],
)
def test_more_than_that_is_a_difference(said: str, found: str, tolerance: float) -> None:
    assert difference(Printed(said, tolerance), found)
