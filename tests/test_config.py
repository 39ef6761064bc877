"""Settings: where they come from, which one wins, and what is refused."""

import ast
import inspect
import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinytx import config
from tinytx.config import (
    MAX_PARAMETERS,
    SECTIONS,
    ModelSettings,
    Settings,
    as_dict,
    load_settings,
    settings_from,
)
from tinytx.errors import UsageError

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Busy machines are slow; that is no failure."""


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "my.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(
    *, file: Path | None = None, flags: dict[str, object] | None = None, **sets: str
) -> str:
    """The message that refuses a file, flags, or ``--set`` (``section__key="value"``)."""
    assignments = [f"{key.replace('__', '.')}={value}" for key, value in sets.items()]
    with pytest.raises(UsageError) as caught:
        load_settings(file, assignments, flags)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_the_default_model_keeps_the_promise_of_the_design() -> None:
    settings = load_settings()
    assert settings == Settings()
    assert settings.parameters <= MAX_PARAMETERS == 2_450_000
    assert 4 * settings.parameters <= 10_000_000


def test_the_number_of_weights_is_that_of_a_hand_count() -> None:
    model = ModelSettings(layers=3, width=48, heads=3, hidden=7, max_seq_length=8, pair_rows=11)
    embedding = 500 * 48
    block = 48 * (48 + 48 + 48) + 48 * 48 + 48 * (7 + 7) + 7 * 48 + 48 + 48
    assert model.parameters(500) == (1 + 3) * embedding + 11 * 48 + 3 * block + 48
    assert model.head_size == 16


def test_flags_win_over_set_and_set_wins_over_the_file(tmp_path: Path) -> None:
    file = written(
        tmp_path, "[training]\nepochs = 2\nbatch_size = 3\nlearning_rate = 0.5\n[corpus]\nseed = 9"
    )
    settings = load_settings(
        file,
        ["training.batch_size=4", "training.learning_rate=0.25"],
        {"training.learning_rate": 0.125, "training.epochs": None},
    )
    training = settings.training
    assert (training.epochs, training.batch_size, training.learning_rate) == (2, 4, 0.125)
    assert settings.corpus.seed == 9
    assert settings.model == ModelSettings()


def test_the_last_assignment_wins() -> None:
    assert load_settings(None, ["training.epochs=2", "training.epochs=3"]).training.epochs == 3


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("corpus.path=my file.txt", "my file.txt"),
        ("corpus.path='quoted'", "quoted"),
        ("corpus.path=a=b", "a=b"),
        (" corpus.path = spaced ", "spaced"),
        ("corpus.path=/a/b#c", "/a/b#c"),
        ("corpus.path=x\ny = 1", "x\ny = 1"),
        ("corpus.path='x'\ny = 1", "'x'\ny = 1"),
    ],
)
def test_a_value_is_toml_or_else_the_text_itself(text: str, value: str) -> None:
    assert load_settings(None, [text]).corpus.path == value


def test_an_unknown_key_is_named_with_its_file_and_the_nearest_right_key(tmp_path: Path) -> None:
    file = written(tmp_path, "[training]\nepoch = 2\n")
    message = refused(file=file)
    assert str(file) in message
    assert "'training.epoch'; did you mean 'training.epochs'?" in message
    section = refused(file=written(tmp_path, "[trainig]\nepochs = 2\n"))
    assert "unknown setting 'trainig'; did you mean 'training'?" in section
    assert "--set: unknown setting 'model.with'; did you mean 'model.width'?" in refused(
        model__with="3"
    )
    assert "known are corpus, model, tokenizer, training." in refused(zz__q="3")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training__epochs", "0"),
        ("training__epochs", "-1"),
        ("training__epochs", "1.5"),
        ("training__epochs", "true"),
        ("training__epochs", "many"),
        ("training__epochs", ""),
        ("training__epochs", "1e99"),
        ("training__epochs", "99999999999999999999999999"),
        ("training__epochs", "1\ny = 2"),
        ("training__learning_rate", "0"),
        ("training__learning_rate", "-0.1"),
        ("training__learning_rate", "nan"),
        ("training__learning_rate", "inf"),
        ("training__gradient_clip", "inf"),
        ("training__dropout", "1"),
        ("training__precision", "float64"),
        ("training__seed", "-1"),
        ("training__seed", str(2**63)),
        ("corpus__seed", str(2**64)),
        ("corpus__val_fraction", "0.5"),
        ("corpus__path", "3"),
        ("tokenizer__vocab_size", "299"),
        ("tokenizer__vocab_size", "65536"),
        ("model__width", "33"),
        ("model__max_seq_length", "7"),
        ("model__rope_base", "1.0"),
        ("model__rope_base", "inf"),
    ],
)
def test_a_value_out_of_range_is_refused_and_its_key_named_wherever_it_came_from(
    tmp_path: Path, key: str, value: str
) -> None:
    section, name = key.split("__")
    assert f"--set: {section}.{name}: " in refused(**{key: value})
    written_value = value if re.fullmatch(r"-?[0-9.e]+|nan|inf|true", value) else json.dumps(value)
    file = written(tmp_path, f"[{section}]\n{name} = {written_value}\n")
    assert f"{file}: {section}.{name}: " in refused(file=file)


def test_a_flag_out_of_range_is_called_by_its_own_name() -> None:
    message = refused(flags={"model.max_seq_length": 0})
    assert message.startswith("--max-seq-length: ")
    assert ">= 8" in message


@pytest.mark.parametrize("heads", [4, 5, 12, 96, 97])
def test_heads_that_the_runtime_cannot_attend_with_are_refused_before_training(heads: int) -> None:
    """onnxruntime's attention with rotary positions takes multiples of 16 only."""
    message = refused(flags={"model.width": 96, "model.heads": heads})
    assert "model.width 96" in message
    assert "multiple of 16" in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[training\n", "not valid TOML"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"\x00", "not valid TOML"),
        (b"training = 3", "[training] must be a table"),
        (b"[[training]]\nepochs = 1", "[training] must be a table"),
        (b"epochs = 3", "unknown setting 'epochs'"),
        (b"[training.epochs]\na = 1", "training.epochs: expected `int`"),
    ],
)
def test_a_file_that_holds_no_settings_is_refused(
    tmp_path: Path, content: bytes, words: str
) -> None:
    message = refused(file=written(tmp_path, content))
    assert words in message
    assert "my.toml" in message


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refused(file=tmp_path / "missing.toml")
    assert "Is a directory" in refused(file=tmp_path)


@pytest.mark.parametrize("key", ["corpus.name", "training.precision", "corpus.sha256"])
def test_a_value_that_is_no_text_is_refused(key: str) -> None:
    """A command line's bytes that are no UTF-8 arrive as lone surrogates."""
    with pytest.raises(UsageError, match="--set: "):
        load_settings(assignments=[f"{key}=\udcff"])


@pytest.mark.parametrize("text", ["epochs=3", "training.epochs", "a.b.c=1", "=1", "", "a b.c=1"])
def test_an_assignment_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"is not of the form section\.key=value"):
        load_settings(None, [text])


def test_a_path_and_a_url_together_are_refused() -> None:
    assert "one corpus, not corpus.path and corpus.url" in refused(
        corpus__path="a", corpus__url="https://b"
    )


def test_a_checksum_without_an_address_is_refused() -> None:
    assert "belongs to corpus.url" in refused(corpus__sha256="0" * 64)


def test_recorded_settings_come_back_and_are_checked_like_a_file() -> None:
    settings = load_settings(None, ["model.layers=2", "corpus.path=ñ", "training.dropout=0.1"])
    document = as_dict(settings)
    assert settings_from(document, "a checkpoint") == settings
    document["model"]["heads"] = 3
    with pytest.raises(UsageError, match="multiple of 16"):
        settings_from(document, "a checkpoint")
    with pytest.raises(UsageError, match="a checkpoint: "):
        settings_from({"model": {"foo": 1}}, "a checkpoint")
    with pytest.raises(UsageError, match="a checkpoint: "):
        settings_from([1], "a checkpoint")


@CALM
@given(st.floats(allow_nan=True, allow_infinity=True))
def test_a_learning_rate_is_kept_exactly_or_refused(rate: float) -> None:
    if math.isfinite(rate) and rate > 0:
        settings = load_settings(None, [f"training.learning_rate={rate!r}"])
        assert settings.training.learning_rate == rate
    else:
        with pytest.raises(UsageError):
            load_settings(None, [f"training.learning_rate={rate!r}"])


def test_every_setting_has_a_docstring_under_it() -> None:
    tree = ast.parse(inspect.getsource(config))
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    for struct in SECTIONS.values():
        body = classes[struct.__name__].body
        for field, following in zip(body, [*body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign):
                documented = isinstance(following, ast.Expr) and isinstance(
                    following.value, ast.Constant
                )
                assert documented, f"{struct.__name__}.{ast.unparse(field.target)}"
