"""The text of ids is what the tokenizer's own decoder gives of them where they stand."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from engine.experiment.results import Tokens
from engine.text.by_bytes import ByteSpelling
from engine.text.rereading import Rereading
from engine.text.tokens import Tokenizer
from tests.support.tokenizer_kinds import KINDS, MOVES, SLOW, save_kind

ALL = [*KINDS, *SLOW]
IN_BYTES = {"byte fallback that strips", "byte fallback", "byte level"}
CHANGES = {"byte fallback, stripped at its end", "byte fallback before its spaces",
           "byte level in a sequence", "joined by @@", *SLOW, *IN_BYTES}  # fmt: skip
"""Kinds whose next token may change what was there: half a character, a word's open end."""


@pytest.fixture(scope="module")
def kind(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made: dict[str, Tokenizer] = {}

    def give(name: str) -> Tokenizer:
        if name not in made:
            made[name] = Tokenizer.load(save_kind(name, tmp_path_factory.mktemp("kind")))
        return made[name]

    return give


def drawn(t: Tokenizer, rng: random.Random, n: int) -> list[int]:
    """Ids as no tokenizer would put them; every other text has no bytes or marks among them."""
    ids = sorted(t.hf.get_vocab().values())
    if rng.random() < 0.5:
        names = t.pieces(ids)
        ids = [i for i, name in zip(ids, names, strict=True) if not name.startswith("<")]
    return [rng.choice(ids) for _ in range(n)]


def decoded(t: Tokenizer, ids: list[int]) -> str:
    return t.hf.decode(ids, clean_up_tokenization_spaces=False)


def prompt_of(t: Tokenizer, ids: list[int]) -> Tokens:
    n = len(ids)
    return Tokens(decoded(t, ids), tuple(ids), ("",) * n, ("",) * n, ((0, 0),) * n, False)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ALL)
def test_what_is_generated_is_decode_of_all_without_decode_of_the_prompt(
    name: str, seed: int, kind: Any
) -> None:
    t, rng = kind(name), random.Random(seed)
    before = drawn(t, rng, rng.choice((1, 2, 5, 60)))
    written = Rereading(t, prompt_of(t, before))
    prompt, generated, compared = decoded(t, before), [], 0
    for token in drawn(t, rng, 120):
        generated.append(token)
        written.add([token])
        whole = decoded(t, before + generated)
        if whole.startswith(prompt):
            assert written.generated == whole[len(prompt) :]
            compared += 1
        else:
            assert name in CHANGES
            assert whole.endswith(written.generated.lstrip("�")[-20:])
    assert compared > 60 or name in CHANGES


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", [name for name in ALL if name not in CHANGES])
def test_each_step_adds_what_the_text_is_longer_by(name: str, seed: int, kind: Any) -> None:
    t, rng = kind(name), random.Random(seed)
    before, generated = drawn(t, rng, rng.choice((1, 40))), drawn(t, rng, 90)
    written = Rereading(t, prompt_of(t, before))
    for at, token in enumerate(generated):
        shorter = decoded(t, before + generated[:at])
        longer = decoded(t, before + generated[: at + 1])
        others = drawn(t, rng, 5)
        told = written.each([token, *others])
        for one, text in zip(others, told[1:], strict=True):
            assert shorter + text == decoded(t, [*before, *generated[:at], one])
        assert t.each_text([token], before + generated[:at]) == told[:1]
        assert written.add([token]) == told[:1]
        assert shorter + told[0] == longer


@pytest.mark.parametrize("name", [name for name in ALL if name not in CHANGES])
def test_the_texts_of_tokens_together_are_their_text(name: str, kind: Any) -> None:
    t = kind(name)
    for seed in range(20):
        ids = drawn(t, random.Random(seed), 50)
        assert "".join(t.texts(ids)) == decoded(t, ids)
        assert "".join(t.texts(ids[9:], ids[:9])) == decoded(t, ids)[len(decoded(t, ids[:9])) :]


@pytest.mark.parametrize("name", sorted(CHANGES - {"ctrl", "joined by @@"}))
def test_words_of_whole_characters_are_their_text_byte_by_byte(name: str, kind: Any) -> None:
    t = kind(name)
    for text in ("the", "a the a", "ê 日 a", "🚀the 🚀", "a ê"):
        ids = t.ids_of([text])[0]
        written = Rereading(t, prompt_of(t, ids), ids)
        assert (decoded(t, ids) + written.generated) == decoded(t, ids + ids)
        if name not in ("byt5", "byte level in a sequence"):  # whose bytes are not in their names
            assert b"".join(t.bytes_of(ids, ids)).decode() == written.generated


def test_a_word_with_an_open_end_is_shown_closed_by_what_follows(kind: Any) -> None:
    for name, words in (("ctrl", "h@@ e@@ hello a"), ("joined by @@", "he@@ he@@ llo m1")):
        t = kind(name)
        ids = [t.hf.get_vocab()[word] for word in words.split()]
        first = t.hf.get_vocab()[words.split()[-1]]
        closed = decoded(t, [first, *ids])
        assert first is not None and closed.count("@@") == 0
        assert "".join(t.texts(ids, [first])) == closed[len(decoded(t, [first])) :]


@pytest.mark.parametrize("name", ALL)
def test_only_what_is_bytes_is_spelled_without_the_decoder(name: str, kind: Any) -> None:
    assert isinstance(kind(name)._spelling, ByteSpelling) == (name in IN_BYTES)


@pytest.mark.parametrize("name", ALL)
def test_a_step_of_a_long_text_decodes_only_its_end(
    name: str, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    t = kind(name)
    ids = drawn(t, random.Random(0), 400)
    written = Rereading(t, prompt_of(t, ids))
    read: list[int] = []
    own = t._decoded
    spelling = t._spelling
    if isinstance(spelling, ByteSpelling):
        return

    def decode(texts: Any) -> Any:
        read.extend(map(len, texts))
        return own(texts)

    monkeypatch.setattr(spelling, "_decode", decode)
    ordinary = [i for i in ids if not t.pieces([i])[0].startswith("<")] or ids
    for token in ordinary:
        written.add([token])
    assert max(read) <= 80 and len(read) < 5 * len(ordinary)


def test_a_word_level_text_is_not_told_to_be_tokenized_otherwise(tmp_path: Path) -> None:
    t = Tokenizer.load(save_kind("word level", tmp_path, marks=False))
    assert t.splits_at_spaces
    prompt = t.encode("m41 m1")
    assert prompt.texts == ("m41", " m1") and not prompt.warnings
    written = Rereading(t, prompt)
    ids = list(prompt.ids)
    for token in t.ids_of([" ".join(random.Random(1).choices(MOVES, k=200))])[0]:
        written.add([token])
        ids.append(token)
        assert written.ids() == ids
    assert written.generated == t.decode(ids)[len(t.decode(prompt.ids)) :]


@pytest.mark.parametrize("name", ["word level", "word level of symbols", "word piece"])
def test_a_text_cut_at_spaces_is_tokenized_as_the_whole_of_it(name: str, tmp_path: Path) -> None:
    t, rng = Tokenizer.load(save_kind(name, tmp_path, marks=False)), random.Random(name)
    assert t.splits_at_spaces
    words = [*MOVES[:9], "play", "playing", "don't", "the", "he", "é", "x.y", "'", "Aé", ">", "+"]
    for _ in range(20):
        text = "".join(rng.choice(words) + rng.choice((" ", " ", "  ", "\n")) for _ in range(60))
        cuts = [at for at in range(1, len(text) - 1)
                if text[at] == " " and not (text[at - 1] + text[at + 1]).isspace()
                and not text[at - 1].isspace() and not text[at + 1].isspace()]  # fmt: skip
        at = rng.choice(cuts)
        first, second = t.ids_of([text[:at], text[at:]])
        assert first + second == t.ids_of([text])[0]


@pytest.mark.parametrize("name", ALL)
def test_ids_without_a_token_have_no_text(name: str, kind: Any) -> None:
    t = kind(name)
    known = set(t.hf.get_vocab().values()) | set(t.hf.added_tokens_decoder)
    holes = [i for i in range(max(known) + 40) if i not in known]
    a, b = sorted(known)[-2:]
    for i in (holes[0], holes[-1]):
        assert not t.has_token(i) and t.pieces([i]) == (f"<id {i}>",)
        assert t.texts([i]) == ("",) and t.bytes_of([a, i, b])[1] == b""
        assert t.each_text([i, b], [a])[0] == ""
        assert t.decode([a, i, b]) == t.decode([a, b])
        written = Rereading(t, prompt_of(t, [a]))
        assert written.add([i]) == ("",) and written.generated == ""
        assert t.texts([i, b], [a])[1] == t.texts([b], [a])[0]


def test_an_answer_within_a_word_is_read_where_it_stands(kind: Any) -> None:
    t = kind("word piece")
    prompt = t.encode("play")
    ing = (t.hf.get_vocab()["##ing"],)
    assert t.writes(prompt, ing, "ing") and not t.writes(prompt, ing, "ed")
    suffixed = kind("end-of-word suffix")
    prompt = suffixed.encode("the")
    ids, moves = suffixed.in_place(prompt, " he")
    assert not moves and suffixed.texts(ids, prompt.ids) == (" he",)


def test_what_a_tokenizer_cleans_up_by_itself_is_no_part_of_the_text(tmp_path: Path) -> None:
    config = save_kind("word level", tmp_path) / "tokenizer_config.json"
    told = json.loads(config.read_text()) | {"clean_up_tokenization_spaces": True}
    config.write_text(json.dumps(told))
    t = Tokenizer.load(tmp_path)
    prompt = t.encode("m1 .")
    assert t.hf.decode(prompt.ids) == "m1."
    assert "".join(prompt.texts) == t.decode(prompt.ids) == "m1 ." and not prompt.warnings
