"""The texts of ``tinytx generate``: written as they come, or whole, or as one JSON document."""

import sys
from typing import NamedTuple

import click

from tinytx.cli.common import console, print_json
from tinytx.cli.generate.request import Prompt, Request
from tinytx.errors import UsageError
from tinytx.runtime.engine import Engine
from tinytx.runtime.generate import Outcome, generate, prompt_ids
from tinytx.wording import counted


class Done(NamedTuple):
    """A text in the making, or made."""

    prompt: Prompt
    parts: list[str]
    outcome: Outcome


def write_texts(engine: Engine, prompts: list[Prompt], request: Request) -> None:
    """Continue every prompt and write the texts; what there is, too, when interrupted.

    Raises :class:`UsageError`, before anything is written, when one does not fit the context.
    """
    for prompt in prompts:
        try:
            prompt_ids(engine, prompt.text, request.when_full)
        except UsageError as error:
            raise UsageError(prompt.where + error.message, error.remedy) from error
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    done: list[Done] = []
    interrupted = False
    for prompt in prompts:
        if done and not request.as_json:
            click.echo()
        done.append(Done(prompt, [], Outcome()))
        interrupted = _write_one(engine, done[-1], request)
        if interrupted:
            break
    if request.as_json:
        _print_document(engine, done, request)
    _tell(engine, done, request)
    if interrupted:
        raise KeyboardInterrupt


def _write_one(engine: Engine, done: Done, request: Request) -> bool:
    """Write the pieces as they come, or together at the end; True when it was interrupted."""
    prompt, parts, outcome = done
    interrupted = False
    if request.stream:
        click.echo(prompt.text, nl=False)
    try:
        for piece in generate(
            engine,
            prompt.text,
            max_tokens=request.max_tokens,
            sampling=request.sampling,
            stop=request.stop,
            when_full=request.when_full,
            outcome=outcome,
        ):
            parts.append(piece)
            if request.stream:
                click.echo(piece, nl=False)
    except KeyboardInterrupt:  # what was generated stays
        interrupted = True
    if not request.as_json:
        click.echo("" if request.stream else prompt.text + "".join(parts))
    return interrupted


def _print_document(engine: Engine, done: list[Done], request: Request) -> None:
    texts = [_record(*each) for each in done]
    print_json({"bundle": engine.bundle_id, "seed": request.sampling.seed, "generations": texts})


def _tell(engine: Engine, done: list[Done], request: Request) -> None:
    """What people want to know beside the text."""
    out = console(request.quiet)
    for number, (*_, outcome) in enumerate(done, 1):
        which = f"prompt {number}: " if len(done) > 1 else ""
        context = f"the context of {engine.facts.max_seq_length} tokens"
        if outcome.stopped == "context":
            out.print(f"({which}stopped: {context} is full; --when-full slide goes on)")
        if dropped := outcome.prompt_dropped:
            went = counted(dropped, "token")
            out.print(f"({which}the prompt is too long: its first {went} went)")
        if outcome.slides:
            out.print(f"({which}{context} was full; its older half went, {outcome.slides} x)")
    tokens = sum(outcome.tokens for *_, outcome in done)
    seconds = sum(outcome.seconds for *_, outcome in done) or 1e-9
    seed_told = "" if request.sampling.seed is None else f", seed {request.sampling.seed}"
    out.print(f"({counted(tokens, 'token')}, {tokens / seconds:,.0f} tokens/s{seed_told})")


def _record(prompt: Prompt, parts: list[str], outcome: Outcome) -> dict[str, object]:
    return {
        "prompt": prompt.text,
        "text": "".join(parts),
        "prompt_tokens": outcome.prompt_tokens,
        "prompt_dropped": outcome.prompt_dropped,
        "tokens": outcome.tokens,
        "stopped": outcome.stopped,
        "slides": outcome.slides,
        "prompt_seconds": outcome.prompt_seconds,
        "seconds": outcome.seconds,
        "tokens_per_second": outcome.tokens / (outcome.seconds or 1e-9),
    }
