"""The checklist as Markdown, for a release's page."""

from tinytx.checklist.items import Item, State, overall

MARKS = {State.DONE: "x", State.NOT_DONE: " ", State.UNKNOWN: " "}


def markdown(bundle_id: str, device: str, items: list[Item]) -> str:
    """A list with boxes, ticked for what is done; below each other one what settles it."""
    counts = [
        f"{sum(one.state is state for one in items)} {state}"
        for state in State
        if any(one.state is state for one in items)
    ]
    where = f", device {_code(device)}" if device else ""
    lines = [f"## Before the release: {overall(items)}", "",
             f"Bundle `{bundle_id}`{where}: {', '.join(counts)}.", ""]  # fmt: skip
    for one in items:
        state = "" if one.state is State.DONE else f"**{one.state}**: "
        lines.append(f"- [{MARKS[one.state]}] {one.number}. {one.title}: {state}{_plain(one.told)}")
        if one.state is not State.DONE:
            lines.append(f"  {_code(one.command)}")
    return "\n".join(lines) + "\n"


def _plain(text: str) -> str:
    """Words that are not ours, without a meaning in Markdown or HTML."""
    for sign in "\\`*_[]<>|#":
        text = text.replace(sign, f"&#{ord(sign)};")
    return text.replace("\n", " ")


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}"
