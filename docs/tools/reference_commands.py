"""The page of the commands: what ``--help`` says, of every command and group of commands."""

import inspect
from collections.abc import Iterator

import click
from md import UNDOCUMENTED

INTRODUCTION = """# Commands

What `tinytx COMMAND --help` says, for every command. Each has `--help` (or `-h`). With `--json`
one JSON document goes to standard output and everything for people to standard error. [Exit
codes](errors.md) are the same for all.
"""


def page() -> str:
    """The whole page, as Markdown."""
    from tinytx.cli.main import cli

    parts = [INTRODUCTION]
    for path, command in commands(cli, ()):
        parts.append(section(path, command))
    return "\n".join(parts)


def commands(
    group: click.Group, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below ``group`` with the words that call it, groups before their own."""
    context = click.Context(group, info_name=" ".join(("tinytx", *path)))
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def section(path: tuple[str, ...], command: click.Command) -> str:
    """One command: usage, what it does, its options."""
    name = " ".join(("tinytx", *path))
    context = click.Context(command, info_name=name)
    usage = " ".join((name, *command.collect_usage_pieces(context)))
    lines = [f"## {name}\n", f"    {usage}\n", story(command)]
    title = ""
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is None or isinstance(parameter, click.Argument) or "--help" in parameter.opts:
            continue  # the usage has the arguments, and the introduction --help
        heading = getattr(parameter, "section", "options").capitalize()
        if heading != title:
            title = heading
            lines.append(
                f"\n{title}:\n" if title == "Options" else f"\nSettings, {title.lower()}:\n"
            )
        flags, told = record
        lines.append(f"- `{flags}`: {' '.join(told.split()) or UNDOCUMENTED}")
    return "\n".join(lines) + "\n"


def story(command: click.Command) -> str:
    """The docstring as Markdown: paragraphs, and what ``\\b`` keeps as it is as a block of code."""
    text = inspect.cleandoc(command.help or UNDOCUMENTED)
    paragraphs = []
    for block in text.split("\n\n"):
        if block.startswith("\b\n"):
            kept = block.removeprefix("\b\n").splitlines()
            head = [line for line in kept if not line.startswith(" ")]
            code = [f"    {line.strip()}" for line in kept if line.startswith(" ")]
            paragraphs.append("\n".join([*head, *([""] if head else []), *code]))
        else:
            paragraphs.append(" ".join(block.split()))
    return "\n\n".join(paragraphs)
