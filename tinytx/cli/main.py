"""The ``tinytx`` command: finds its commands, and turns every error into a message and a code."""

import importlib
import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType

import click

from tinytx import __version__
from tinytx.cli import torchrun
from tinytx.cli.failures import understood
from tinytx.errors import EXIT_BUG, Interrupted, UsageError
from tinytx.wording import printable

COMMANDS = {
    "quickstart": "train, export, bench and sample: the whole chain on the built-in corpus",
    "train": "train a model: text in, checkpoint out",
    "plan": "which model fits this time, this machine, that device",
    "sweep": "search settings for the best model that the budgets allow",
    "export": "turn the best checkpoint into a verified bundle",
    "bench": "measure a bundle and judge it against budgets",
    "report": "show a stored report again, as a table, Markdown or HTML",
    "compare": "two reports, or two bundles measured in turns: what differs, and by how much",
    "generate": "continue a prompt with a bundle",
    "serve": "answer programs over HTTP: many readers, one model",
    "deploy": "put a bundle onto devices, which prove it, switch over and watch it",
    "rollback": "take a device back to the release before",
    "devices": "what each device says about itself",
    "release": "on a device: the store of releases, the switch to one, and the way back",
    "checklist": "fourteen items before a release, each a check that can fail",
    "verify": "check a bundle's integrity and its golden outputs on this machine",
    "publish": "put a bundle, signed, into a folder that devices pull from",
    "doctor": "what can this machine do: train, export, run, be measured",
}

SEVERAL_FILES = {
    *("train", "plan", "sweep", "bench", "compare", "generate", "serve", "release", "deploy"),
}
"""Commands that are a folder: the command itself is its ``command.py``."""


class _Commands(click.Group):
    """Imports a command's module only when that command runs, so that help is quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        room = f"{cmd_name}.command" if cmd_name in SEVERAL_FILES else cmd_name
        module = importlib.import_module(f"tinytx.cli.{room}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tinytx")
def cli() -> None:
    """Text in, a small language model on a small computer out, with proof that it fits.

    \b
    Example:
      tinytx quickstart
    """


def main() -> None:
    """Run the command line and exit with the code of :mod:`tinytx.errors`."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by who started us
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has gone: nothing left to say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command; returns its exit code. Messages go to stderr."""
    if (code := torchrun.earlier_failure()) is not None:
        return code
    try:
        result = cli.main(args=arguments, prog_name="tinytx", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        torchrun.give_up(UsageError.exit_code)
        hint = f"\n{error.ctx.get_usage()}" if getattr(error, "ctx", None) else ""  # type: ignore[attr-defined]
        return _fail(error.format_message() + hint, "", UsageError.exit_code)
    except (KeyboardInterrupt, click.Abort):
        return _fail("interrupted", "", Interrupted.exit_code)
    except (BrokenPipeError, SystemExit):  # click turns a closed pipe into sys.exit(1)
        return 0
    except Exception as error:
        return _explain(error)


def _explain(error: Exception) -> int:
    """Not in :func:`run`: its frame is in the error's traceback, and a name for the error there
    would keep both, and every file that was open, until the next collection."""
    if known := understood(error):
        if not torchrun.worth_a_restart(known):
            torchrun.give_up(known.exit_code)
        return _fail(known.message, known.remedy, known.exit_code)
    traceback.print_exc()
    what = f"{type(error).__name__}: {error}"
    return _fail(f"a bug in tinytx: {what}", "please report it with the lines above", EXIT_BUG)


def _fail(message: str, remedy: str, code: int) -> int:
    if torchrun.silent() and code != EXIT_BUG:
        return code
    click.secho("tinytx: ", fg="red", bold=True, nl=False, err=True)
    click.echo(printable(message, keep="\n"), err=True)
    if remedy:
        click.echo(f"  -> {printable(remedy)}", err=True)
    return code


def _on_sigterm(signum: int, frame: FrameType | None) -> None:
    """Treat SIGTERM like Ctrl-C, so that both stop in the same orderly way."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
