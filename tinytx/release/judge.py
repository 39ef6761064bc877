"""What the answers of a service mean for the release that it should serve: no clock, no socket."""

from dataclasses import dataclass, field
from typing import Literal

from tinytx.release.health import BUSY, Answer

STRIKES = 3
"""Bad answers in a row that end it."""
LONGEST_GAP = 60.0
"""Seconds without a look, of a watch that was stopped or a machine that slept: health is counted
anew. More than an answer about health and a completion may take."""


@dataclass(frozen=True)
class Decision:
    """What becomes of the release."""

    outcome: Literal["healthy", "unhealthy"]
    why: str


@dataclass
class Judge:
    """Hears one answer after the other. Before the service names the release, silence is no fault:
    it may be loading; the deadline bounds that."""

    release: str
    watch_seconds: float
    """The release must be healthy for so long without a bad answer."""
    healthy_since: float | None = None
    last_trouble: str = ""
    _looked: float | None = None
    _strikes: dict[str, int] = field(default_factory=lambda: {"health": 0, "completion": 0})

    def health(self, now: float, answer: Answer) -> Decision | None:
        """An answer about health; ``now`` is in seconds of any one clock."""
        gap = 0.0 if self._looked is None else now - self._looked
        if self.healthy_since is not None and gap > LONGEST_GAP:
            self.healthy_since = now
        self._looked = now
        if refused := _refused(answer, self.release):
            return Decision("unhealthy", f"the service refused it: {refused}")
        trouble = _trouble(answer, self.release)
        if self.healthy_since is None:
            self.last_trouble = trouble
            if not trouble:
                self.healthy_since = now
            return None
        if decision := self._count("health", now, trouble):
            return decision
        if not trouble and now - self.healthy_since >= self.watch_seconds:
            return Decision("healthy", "")
        return None

    def completion(self, now: float, answer: Answer) -> Decision | None:
        """An answer to a small completion. One that is put off, because many ask, says nothing."""
        if self.healthy_since is None or answer.code == BUSY:
            return None
        if answer.trouble or answer.code != 200 or not answer.document.get("choices"):
            why = answer.trouble or f"answered {answer.code}"
            return self._count("completion", now, f"a small completion: {why}")
        return self._count("completion", now, "")

    def _count(self, kind: str, now: float, trouble: str) -> Decision | None:
        if not trouble:
            self._strikes[kind] = 0
            return None
        self._strikes[kind] += 1
        self.last_trouble, self.healthy_since = trouble, now
        if self._strikes[kind] >= STRIKES:
            return Decision("unhealthy", f"unhealthy {STRIKES} times in a row: {trouble}")
        return None


def _refused(answer: Answer, release: str) -> str:
    refused = answer.document.get("refused")
    if isinstance(refused, dict) and refused.get("release") == release:
        return str(refused.get("why") or "it did not say why")[:300]
    return ""


def _trouble(answer: Answer, release: str) -> str:
    """Why an answer about health is not a good one; nothing when it is."""
    if answer.trouble:
        return f"health: {answer.trouble}"
    status, served = answer.document.get("status"), answer.document.get("release")
    if answer.code != 200 or status != "ok":
        return f"health: {str(status)[:100]} ({answer.code})"
    if served != release:
        return f"health: the service is on {str(served)[:12]}"
    return ""
