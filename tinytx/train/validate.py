"""Phase 5: is what training wrote there, loadable, and better than knowing nothing?"""

import math
from contextlib import closing
from dataclasses import dataclass

import torch

from tinytx.cgroup import usable_cores
from tinytx.errors import CheckpointError, TinytxError, ValidationError
from tinytx.tokenizer import Tokenizer
from tinytx.train.checkpoint import load_model
from tinytx.train.data import open_tokens
from tinytx.train.evaluate import Score, evaluate, unigram_nats_per_token
from tinytx.train.model import Transformer
from tinytx.train.waiting import Waiting, one_thread
from tinytx.workspace import Workspace

SAMPLE_TOKENS = 80


@dataclass(frozen=True)
class Validation:
    """What the last phase found."""

    score: Score
    """Of the best checkpoint, in float32."""
    unigram_nats_per_token: float
    sample: str


def validate(workspace: Workspace, batch: int) -> Validation:
    """Load everything back and check it. Raises :class:`ValidationError`."""
    try:
        tokenizer = Tokenizer.load(workspace.tokenizer)
        train, val = open_tokens(workspace.train_tokens), open_tokens(workspace.val_tokens)
        model, settings, _ = load_model(workspace.best_model)
        load_model(workspace.final_model)
    except CheckpointError as error:
        raise ValidationError(error.message, error.remedy) from error
    except TinytxError as error:
        raise ValidationError(error.message, error.remedy) from error
    size = workspace.val_text.stat().st_size
    with closing(Waiting(torch.get_num_threads(), usable_cores())) as waiting:
        waiting.settle()
        score = evaluate(model, val, size, batch, after_each=waiting.look)
    unigram = unigram_nats_per_token(train, val, settings.tokenizer.vocab_size)
    if not math.isfinite(score.nats_per_token):
        raise ValidationError(f"the best model's loss is {score.nats_per_token}")
    if score.nats_per_token >= unigram:
        raise ValidationError(
            f"the best model ({score.nats_per_token:.3f} nats per token) is no better than "
            f"counting tokens ({unigram:.3f})",
            "train for more epochs, or with another --learning-rate",
        )
    return Validation(score, unigram, sample(model, tokenizer, SAMPLE_TOKENS))


def sample(model: Transformer, tokenizer: Tokenizer, tokens: int, seed: int = 0) -> str:
    """Text from the model, drawn at temperature 0.8, recomputed without a cache."""
    generator = torch.Generator().manual_seed(seed)
    ids = [tokenizer.start_id]
    with torch.inference_mode(), one_thread():
        for _ in range(min(tokens, model.model.max_seq_length - 1)):
            logits = model(torch.tensor([ids]))[0, -1] / 0.8
            ids.append(int(torch.multinomial(logits.softmax(-1), 1, generator=generator)))
    return tokenizer.decode(ids[1:])
