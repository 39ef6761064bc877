"""Text in, text out: the whole generation, and the tokenisation inside it apart."""

import time

from tinytx.measure.record.protocol import Answer, Task
from tinytx.runtime.engine import Engine
from tinytx.runtime.generate import Outcome, generate, prompt_ids
from tinytx.runtime.sampling import Sampling

clock = time.perf_counter_ns


def fitting_prompt(engine: Engine, prompt: str) -> str:
    """``prompt``, cut so that it takes at most half of the context."""
    half = max(engine.facts.max_seq_length // 2, 2)
    while len(engine.tokenizer.encode(prompt)) + 1 > half:
        prompt = prompt[: len(prompt) // 2]
    return prompt


def measure_end_to_end(engine: Engine, sampling: Sampling, task: Task) -> Answer:
    """Whole generations until there are enough of them or the time is up; one is a warm-up."""
    prompt = fitting_prompt(engine, task.prompt)
    deadline = clock() + int(task.seconds * 1e9)
    generations: list[int] = []
    tokenisations: list[int] = []
    tokens = 0
    for _ in range(task.samples + 1):
        start = clock()
        prompt_ids(engine, prompt)
        tokenisations.append(clock() - start)
        outcome = Outcome()
        start = clock()
        for _text in generate(
            engine, prompt, max_tokens=task.length, sampling=sampling, outcome=outcome
        ):
            pass
        generations.append(clock() - start)
        tokens = outcome.tokens
        if clock() > deadline:
            break
    counted = slice(1, None) if len(generations) > 1 else slice(None)
    return Answer(
        settled=len(generations) > 1,
        warm_up_samples=1 if len(generations) > 1 else 0,
        samples_ns=generations[counted],
        tokenise_ns=tokenisations[counted],
        generated=tokens,
    )
