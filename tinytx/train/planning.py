"""How settings that depend on the text reach a run: whoever chooses them is asked three times."""

from typing import Protocol

from tinytx.config import Settings
from tinytx.train.progress import Reporter
from tinytx.workspace import Workspace


class Planner(Protocol):
    """Chooses the settings of a run."""

    def known(self, space: Workspace) -> Settings | None:
        """The settings, where an earlier run of the same kind has left them; before the text."""

    def settle(self, space: Workspace, reporter: Reporter) -> Settings:
        """The settings, now that the text is there. Writes nothing."""

    def keep(self, space: Workspace) -> None:
        """Write down what was settled: nothing there forbids it."""
