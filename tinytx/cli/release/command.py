"""``tinytx release``: the device's own half of a deployment. Finds its subcommands."""

import importlib
from pathlib import Path

import click

SUBCOMMANDS = {
    "offer": ("intake", "a manifest on standard input: what is missing of it here?"),
    "receive": ("intake", "one file on standard input; a transfer that was cut goes on"),
    "statement": ("intake", "what was signed about a release, on standard input"),
    "install": ("steps", "a release of what came: every hash, signature and policy checked"),
    "prove": ("steps", "does it run here, say the same, and keep the device's budgets?"),
    "switch": ("steps", "let the service take it; the watch then commits it or takes it back"),
    "commit": ("steps", "put the release on trial in force by hand"),
    "rollback": ("steps", "back to the release before"),
    "pull": ("pull", "ask a published folder for the channel's release, and try it"),
    "status": ("care", "what is served, what is on its way, and why"),
    "show": ("care", "one release: its proof here, and when this device last went back"),
    "watch": ("care", "watch what is switched to, and decide"),
    "recover": ("care", "finish or undo what a dead process left"),
    "prune": ("care", "remove old releases"),
}


class _Parts(click.Group):
    """Imports a subcommand's file only when it runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUBCOMMANDS:
            return None
        module = importlib.import_module(f"tinytx.cli.release.{SUBCOMMANDS[cmd_name][0]}")
        part: click.Command = getattr(module, cmd_name)
        return part

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, words) in SUBCOMMANDS.items()])


@click.group(name="release", cls=_Parts)
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="The store. [default: $TINYTX_STORE, else /var/lib/tinytx]",
)
@click.pass_context
def command(ctx: click.Context, store: Path | None) -> None:
    """Releases on this device: received, verified, proved, switched, watched, committed.

    A release that fails anywhere on the way is rolled back, and the reason is kept. Whatever dies
    at whatever instant, the service keeps the old release or the new one, whole.

    \b
    Example:
      tinytx release status
      tinytx release rollback --reason "it talks nonsense"
    """
    ctx.obj = store
