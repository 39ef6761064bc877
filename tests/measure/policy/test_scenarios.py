"""The scenario file, good and bad."""

from pathlib import Path

import pytest

from tinytx.errors import UsageError
from tinytx.measure.policy.scenarios import Scenarios, lengths, load_scenarios


def test_the_file_in_the_repository_says_what_the_defaults_say() -> None:
    assert load_scenarios() == Scenarios()


def test_lengths_are_clipped_to_the_model_and_never_double() -> None:
    assert lengths((16, "half", "longest"), 128) == [16, 64, 128]
    assert lengths((16, "half", "longest"), 32) == [16, 32]
    assert lengths((16, "half", "longest"), 8) == [4, 8]
    assert lengths(("half",), 3) == [2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[next_tokn]\nblock = 1\n", ["next_tokn", "next_token"]),
        ("[next_token]\nblok = 1\n", ["next_token.blok", "next_token.block"]),
        ("[next_token]\nblock = 0\n", ["next_token.block"]),
        ('[next_token]\ncontexts = ["longst"]\n', ["next_token.contexts", "longst"]),
        ("[processes]\nper_scenario = 2\n", ["processes.per_scenario", ">= 3"]),
        ("[sampling]\ntop_p = 2.0\n", ["sampling.top_p"]),
        ("[sampling]\nseed = -1\n", ["sampling.seed"]),
        ("sampling = 3\n", ["sampling"]),
        ("[sampling]\nseed = 1\nseed = 2\n", ["duplicate"]),
        ("schema = 7\n", ["schema must be 1, not 7"]),
    ],
)
def test_a_bad_file_is_refused_with_its_name_and_the_reason(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_scenarios(path)
    for word in ["mine.toml", *words]:
        assert word in caught.value.message
