"""What happened on the way: programs by name, looks between processes, what was thrown away; and
what the figures say about the device that was asked for.
"""

from tinytx.measure.pages.figures import told
from tinytx.measure.pages.markup import Markup, el, join
from tinytx.measure.report import Report


def course(report: Report) -> Markup:
    """From the first look to the last one."""
    return join(_neighbours(report), _looks(report), _discarded(report))


def device(report: Report) -> Markup:
    """The device, how far this bench speaks of it, and what to know before measuring there."""
    found = report.device
    if found is None:
        return Markup()
    here = "This machine is one." if found.here else "This machine is not one."
    notes = dict.fromkeys([*found.says.values(), *found.device.expect])
    return join(
        el("p", str(found.device), ". ", here),
        el("ul", *(el("li", el("strong", warning)) for warning in found.warnings))
        if found.warnings
        else None,
        el("ul", *(el("li", note) for note in notes)) if notes else None,
    )


def _neighbours(report: Report) -> Markup | None:
    if not report.neighbours:
        return None
    names = ", ".join(f"{busy.name} {busy.cores:.2f}" for busy in report.neighbours)
    return el("p", f"Besides the bench these kept processors busy (in cores): {names}.")


def _looks(report: Report) -> Markup | None:
    """The extremes of the looks between processes."""
    if not report.during:
        return None
    hottest = max(m.temperature_millicelsius or 0 for m in report.during)
    slowest = min((m.frequency.slowest for m in report.during if m.frequency.slowest), default=0)
    parts = [f"{len(report.during)} looks between the processes"]
    parts += [f"the hottest at {told(hottest / 1000, '°C')}"] if hottest else []
    parts += [f"the slowest core at {told(slowest / 1000, 'MHz')}"] if slowest else []
    return el("p", "; ".join(parts) + ".", class_="quiet")


def _discarded(report: Report) -> Markup | None:
    items = [
        el("li", f"{scenario.name}: {one.reason}")
        for scenario in report.scenarios
        for one in scenario.discarded
    ]
    if not items:
        return None
    text = "Others disturbed these processes, which were measured again and do not count:"
    return join(el("p", text), el("ul", *items))
