"""What went wrong between here and a device, in one sentence, and whether asking again may help.

ssh ends with 255 for whatever happened to the connection, and for a remote command that was killed
or ended with 255 itself. So its own words are read, and those of what ran there.
"""

import re

from tinytx.errors import DeviceError, TinytxError
from tinytx.remote.answers import Failure
from tinytx.remote.devices import Device, Named
from tinytx.remote.run import Ended

PREPARE = "set it up: tinytx deploy --prepare {name}"
UNKNOWN = 255
AT_WORK = "is at work on the store"
"""In the device half's message about a lock that another living process holds."""


class Refused(DeviceError):
    """The device, or ssh, said no: asking again would bring the same."""


class Lost(DeviceError):
    """No answer came: the command may have done its work or not, and the device knows."""


class Busy(Lost):
    """Another command is at work on the store: it did nothing, and may do it later."""


class Verdict(DeviceError):
    """The device's own proof ended with FAIL (7) or INVALID (8), or it does not trust (9)."""

    def __init__(self, message: str, remedy: str, code: int) -> None:
        super().__init__(message, remedy)
        self.exit_code = code


_OF_THE_RELEASE = (7, 8, 9)
"""Exit codes that speak of the release: over budget, not proven, damaged or not trusted."""
_ADVICE = {
    7: "FAIL: a smaller or faster model, or other budgets in the device's device.toml",
    8: "INVALID, which is no FAIL: deploy again when the device has less to do, or let it pass "
    "with --allow-invalid REASON",
}
"""Where the device half has none: it does not know what a workstation can do."""
_Rule = tuple[str, type[DeviceError], str, str]
_CONNECTION: tuple[_Rule, ...] = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        Refused,
        "the host key of {host} is not the one that is known here",
        "if the device was set up anew: ssh-keygen -R {bare}, then ssh {host} once; "
        "if not, somebody may be in between",
    ),
    (
        r"Host key verification failed|No \S+ host key is known for",
        Refused,
        "the host key of {host} is not known here",
        "ssh {host} once, and compare what it shows with the device's own",
    ),
    (
        r"Could not resolve hostname",
        Refused,
        "no host is called {host}",
        'write host = "..." in the devices file as ssh knows it',
    ),
    (
        r"Permission denied \(",
        Refused,
        "{host} does not let this user in",
        'ssh-copy-id {host}, or name the user: host = "USER@HOST"',
    ),
    (
        r"Too many authentication failures",
        Refused,
        "{host} does not let this user in: too many keys were tried",
        "name the right one in ~/.ssh/config: IdentityFile and IdentitiesOnly yes",
    ),
    (
        r"Bad configuration option|Bad owner or permissions on|terminating, \d+ bad config",
        Refused,
        "ssh does not accept its own configuration: {line}",
        "",
    ),
    (r"Unable to negotiate|no matching", Refused, "ssh and {host} agree on nothing: {line}", ""),
    (
        r"Connection refused",
        Lost,
        "{host} refuses the connection",
        "is its ssh server running, and on this port?",
    ),
    (
        r"No route to host|Network is unreachable|Connection timed out|Operation timed out",
        Lost,
        "{host} cannot be reached: {line}",
        "is it on, and on the network?",
    ),
)
"""In ssh's own words, each with the error that it is, the sentence and what to do."""
_THERE: tuple[_Rule, ...] = (
    (
        r"No such (command '(release|offer|receive|statement|install|prove|switch|rollback|status"
        r"|show)|option)",
        Refused,
        "the tinytx on {host} is too old: {line}",
        PREPARE,
    ),
    (
        r"sudo: .*(password is required|terminal is required|not allowed|not in the sudoers)",
        Refused,
        "{host} does not let this user run tinytx as the user tinytx",
        PREPARE,
    ),
    (
        r"sudo: (.*not found|unknown user)|user \S* does not exist|No such container"
        r"|container \S+ is not running|docker: (command )?not found|sudo: not found",
        Refused,
        "{host} is not set up for the way {way!r}: {line}",
        PREPARE,
    ),
    (
        r"permission denied while trying to connect to the Docker",
        Refused,
        "this user may not use Docker on {host}",
        "add the user to the group docker there",
    ),
    (r"No module named '?tinytx", Refused, "there is no tinytx on {host}: {line}", PREPARE),
    (
        r"python3: (command )?not found|bad interpreter|env: .python3",
        Refused,
        "there is no Python on {host}: {line}",
        "install python3 there",
    ),
    (
        r"Exec format error",
        Refused,
        "the tinytx on {host} is for another processor",
        PREPARE,
    ),
)
_LOST = re.compile(
    r"Connection (closed|reset)|Broken pipe|client_loop|not responding|kex_exchange|"
    r"Connection to .* closed|ssh_dispatch|Read from remote|Temporary failure in name"
)


def failed(named: Named, failure: Failure) -> TinytxError:
    """The error of a device half that said what is wrong."""
    told = f"{named.name}: {failure.error}"
    if AT_WORK in failure.error:
        return Busy(told, failure.remedy)
    if failure.exit_code in _OF_THE_RELEASE:
        remedy = failure.remedy or _ADVICE.get(failure.exit_code, "")
        return Verdict(told, remedy, failure.exit_code)
    return Refused(told, failure.remedy)


def explain(named: Named, ended: Ended) -> TinytxError:
    """The error of a command that gave no answer."""
    if ended.limit:
        return Lost(f"{named.name} did not answer in time", "is it busy, or the network gone?")
    said = ended.err.replace("\r", "")
    for rule in _CONNECTION if ended.code == UNKNOWN else ():
        if error := _ruled(rule, named, said):
            return error
    for rule in _THERE:
        if error := _ruled(rule, named, said):
            return error
    if own := own_words(said):
        kind = Lost if ended.code == UNKNOWN else Refused
        return kind(f"{named.name}: {own[0]}", own[1])
    return _otherwise(named, ended, said)


def own_words(said: str) -> tuple[str, str] | None:
    """The last message of a tinytx and its remedy, as its command line prints them."""
    found = list(re.finditer(r"^tinytx: (.+)$(?:\n  -> (.+)$)?", said, re.MULTILINE))
    return (found[-1][1], found[-1][2] or "") if found else None


def _ruled(rule: _Rule, named: Named, said: str) -> DeviceError | None:
    pattern, kind, message, remedy = rule
    match = re.search(f"^.*({pattern}).*$", said, re.MULTILINE)
    if match is None:
        return None
    device = named.device
    words = {
        "host": device.host,
        "bare": device.host.rpartition("@")[2],
        "way": device.way,
        "name": named.name,
        "line": match[0].strip()[:200],
    }
    return kind(f"{named.name}: {message.format(**words)}", remedy.format(**words))


def _otherwise(named: Named, ended: Ended, said: str) -> TinytxError:
    """No rule knows it: its last line is all that there is to tell."""
    line = last_line(said)
    if ended.code in (126, 127):
        what = "cannot be started" if ended.code == 126 else "is not there"
        command = _command(named.device)
        return Refused(f"{named.name}: {command} {what}: {line}", _prepare(named))
    if ended.code == UNKNOWN or ended.code < 0 or ended.code in (129, 137, 143):
        sure = "" if _LOST.search(said) or not line else f" ({line})"
        return Lost(f"the connection to {named.name} ended without an answer{sure}", "")
    if ended.code == 0 and not ended.out.strip():  # whatever it says: the answer did not come
        return Lost(f"{named.name} gave no answer", "")
    shown = ended.out[:80].decode("utf-8", "replace").strip()
    if shown:
        return Refused(
            f"{named.name} answered {shown!r} where JSON was expected",
            "a login script there (.bashrc, .profile) may print: let it do so only in a terminal",
        )
    return Refused(f"{named.name}: exit code {ended.code} and no answer: {line or 'no word'}")


def last_line(said: str) -> str:
    """The last line that says something, shortened."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""


def _prepare(named: Named) -> str:
    if named.device.way == "plain":
        return 'install tinytx there, and write its path: tinytx = "/home/pi/venv/bin/tinytx"'
    return PREPARE.format(name=named.name)


def _command(device: Device) -> str:
    return device.tinytx if device.way == "plain" else "tinytx"
