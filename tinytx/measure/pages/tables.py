"""Tables of a page: a caption, headings with a scope, figures aligned on the right."""

from collections.abc import Collection, Iterable, Sequence

from tinytx.measure.pages.markup import Markup, el, join


def numbers_table(
    caption: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: Collection[int] = (),
    hidden: bool = False,
    pairs: bool = False,
) -> Markup:
    """A table whose first column names the row; columns in ``right`` hold figures.

    With ``hidden`` only a screen reader says the caption: a heading above says it already; with
    ``pairs`` the two last columns are equally wide. The roles repeat what the
    elements mean, since a phone shows the rows as blocks.
    """

    def kind(column: int) -> str | None:
        return "figure" if column in right else None

    head = [
        el("th", text, scope="col", role="columnheader", class_=kind(n))
        for n, text in enumerate(headings)
    ]
    body = []
    for name, *others in rows:
        cells = [
            el("td", text, role="cell", class_=kind(n), data_label=headings[n])
            for n, text in enumerate(others, 1)
        ]
        body.append(el("tr", el("th", name, scope="row", role="rowheader"), *cells, role="row"))
    table = el(
        "table",
        el("caption", caption, class_="hidden" if hidden else None),
        el("thead", el("tr", *head, role="row"), role="rowgroup"),
        el("tbody", *body, role="rowgroup"),
        role="table",
        class_="rows pairs" if pairs else "rows",
    )
    return el("div", table, class_="scroll", role="region", aria_label=caption, tabindex=0)


def facts(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Names and what they stand for."""
    return el("dl", *(el("div", el("dt", name), el("dd", told)) for name, told in pairs))


def section(name: str, title: str, *children: str | None) -> Markup:
    """A part of the page with its heading; nothing when it has no content."""
    content = join(*children)
    if not content:
        return Markup()
    heading = el("h2", title, id=name)
    return el("section", heading, content, aria_labelledby=name)
