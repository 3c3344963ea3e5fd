"""What a text would be tokenized as while it grows: as if it were tokenized whole, and as quickly
at its end as at its beginning."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tokenizers import AddedToken
from transformers import AutoTokenizer

from engine.model.checkpoints import BUNDLED
from engine.text.rereading import Rereading
from engine.text.tokens import Tokenizer
from tests.conftest import real
from tests.support.noting import noting
from tests.support.some import some

WORDS = (
    "the don't we'll 13 1234567 x=1; ... -- é 日本語 🚀 naïve \u0301 _a_ 's ' \" (b) A\u00a0B "
    "<|endoftext|> </s> \u2009 \u0085 \x1f"
).split(" ")
GAPS = (" ", " ", " ", " ", "  ", "\n", "\n\n", "\t", "", " \n ", "\r\n", "   ")


def tokenizer(name: str) -> Tokenizer:
    return Tokenizer.load(BUNDLED / name if name.startswith("seq-") else real(name))


def written(rng: random.Random, n: int) -> str:
    return "".join(rng.choice(WORDS) + rng.choice(GAPS) for _ in range(n))


@pytest.mark.parametrize("name", ["seq-gpt2", "seq-llama", "gpt2-tokenizer", "llama2-tokenizer"])
@pytest.mark.parametrize("seed", range(6))
def test_a_growing_text_is_tokenized_as_the_whole_of_it(name: str, seed: int) -> None:
    t, rng = tokenizer(name), random.Random(seed)
    prompt = t.encode(written(rng, rng.choice((0, 3, 120))))
    pieces = t.ids_of([written(rng, 220)])[0]
    if seed % 2:  # what a model may write, but its tokenizer never would
        whole_ones = [i for i, text in zip(pieces, t.texts(pieces), strict=True) if "�" not in text]
        pieces = rng.sample(whole_ones, len(whole_ones))
    pieces += [rng.randrange(200) for _ in range(20)]
    growing = Rereading(t, prompt)
    compared = 0
    for at, token in enumerate(pieces):
        growing.add([token])
        if at % 7 and at < len(pieces) - 20:
            continue
        try:
            whole = prompt.text + b"".join(t.bytes_of(pieces[: at + 1])).decode()
        except UnicodeDecodeError:
            assert growing.ids() is None
            continue
        assert growing.ids() == [*prompt.ids[: int(prompt.bos)], *t.ids_of([whole])[0]]
        compared += 1
    assert compared > 3


def test_a_step_of_a_long_text_tokenizes_only_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    t = tokenizer("seq-gpt2")
    growing = Rereading(t, t.encode("1 2 3"))
    read: list[int] = []
    ids_of = t.ids_of
    monkeypatch.setattr(t, "ids_of", noting(read, lambda texts: len(texts[0]), ids_of))
    (token,) = ids_of([" 45"])[0]
    for _ in range(1000):
        growing.add([token])
        growing.ids()
    assert len(some(growing.ids())) == 1003 and max(read) < 400 and sum(read) < 1000 * 250


def test_where_tokens_may_reach_over_spaces_texts_are_not_cut(tmp_path: Path) -> None:
    assert tokenizer("seq-gpt2").splits_at_spaces and not tokenizer("seq-llama").splits_at_spaces
    for i, added in enumerate(
        (AddedToken("new york"), AddedToken("<x>", rstrip=True), AddedToken("ab", single_word=True))
    ):
        hf = AutoTokenizer.from_pretrained(BUNDLED / "seq-gpt2")
        hf.add_tokens([added])
        hf.save_pretrained(tmp_path / str(i))
        assert not Tokenizer.load(tmp_path / str(i)).splits_at_spaces
