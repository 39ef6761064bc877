"""What a shape costs on the device, before it is trained: bytes and time of the next token.

The real decode graph of the shape, with random weights, in the real engine: neither its size nor
its speed depends on what the weights are. The time is this machine's.
"""

import statistics
import time
from dataclasses import dataclass

from tinytx.config import Settings
from tinytx.export.exporter import model_facts
from tinytx.export.graph import build_graph
from tinytx.runtime.engine import Engine
from tinytx.tokenizer import Tokenizer
from tinytx.train.model import Transformer

ROUNDS, STEPS = 5, 64


@dataclass(frozen=True)
class Cost:
    """Predicted figures of a shape."""

    bytes: int
    """Of the float32 graph, as the bundle will hold it."""
    next_token_ns: float


class CostModel:
    """Predicts; each shape is measured once."""

    def __init__(self) -> None:
        self._known: dict[str, Cost] = {}
        self._own_ns: float | None = None

    def own_ns(self, tokenizer: Tokenizer) -> float:
        """What the default shape's next token takes here: this machine's own speed. The engine
        wants a tokenizer; any will do."""
        if self._own_ns is None:
            self._own_ns = measure(Settings(), tokenizer).next_token_ns
        return self._own_ns

    def know(self, settings: Settings, cost: Cost) -> None:
        """What an earlier run of the sweep found."""
        self._known[shape_of(settings)] = cost

    def predict(self, settings: Settings, tokenizer: Tokenizer) -> Cost:
        """``tokenizer`` is the one of the settings; the engine wants one."""
        shape = shape_of(settings)
        if shape not in self._known:
            self._known[shape] = measure(settings, tokenizer)
        return self._known[shape]


def shape_of(settings: Settings) -> str:
    """Equal for settings of the same graph."""
    return f"{settings.model} {settings.tokenizer.vocab_size}"


def measure(settings: Settings, tokenizer: Tokenizer) -> Cost:
    """Build the graph of a shape and time its last steps, where the context is longest.

    One thread; the best of a few rounds' medians, since whatever else runs only adds to it.
    """
    model = Transformer(settings.model, settings.tokenizer.vocab_size)
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    graph = build_graph(weights, model_facts(settings)).SerializeToString()
    engine = Engine(model_facts(settings), graph, tokenizer)
    length = settings.model.max_seq_length
    steps = min(STEPS, length // 2)
    medians = []
    for _ in range(ROUNDS):
        engine.reset()
        engine.append([0] * (length - steps))
        samples = []
        for _ in range(steps):
            start = time.perf_counter_ns()
            engine.append([0])
            samples.append(time.perf_counter_ns() - start)
        medians.append(statistics.median(samples))
    return Cost(len(graph), min(medians))
