"""Text to tokens: nothing lost, nothing silent."""

import json

import pytest

import engine
from engine.text.decoded import decoded
from engine.text.tokens import Tokenizer
from tests.conftest import SHARED, real
from tests.support.noting import noting


@pytest.fixture(scope="module")
def llama() -> Tokenizer:
    return Tokenizer.load(real("llama2-tokenizer"))


@pytest.fixture(scope="module")
def gpt2() -> Tokenizer:
    return Tokenizer.load(real("gpt2-tokenizer"))


@pytest.mark.parametrize("name", ["llama2-tokenizer", "gpt2-tokenizer"])
def test_ids_equal_the_recorded_ones(name: str) -> None:
    tokenizer = Tokenizer.load(real(name))
    facts = json.loads((SHARED / "facts/tokenization_facts.json").read_text("utf-8"))["facts"]
    for fact in facts[name]:
        assert list(tokenizer.encode(fact["text"]).ids) == fact["input_ids"], fact["text"]


def test_llama_puts_a_bare_space_before_every_digit(llama: Tokenizer) -> None:
    found = llama.encode("5 3 9")
    assert found.bos and found.pieces == ("<s>", "▁", "5", "▁", "3", "▁", "9")
    assert "".join(found.texts[1:]) == " 5 3 9"
    assert len(llama.encode("13", prepend_bos=False)) == 3


def test_no_space_is_lost_in_a_single_token(llama: Tokenizer) -> None:
    assert llama.texts([29871]) == (" ",)
    assert llama.pieces([29871]) == ("▁",)


def test_part_of_a_character_is_shown_as_such(llama: Tokenizer, gpt2: Tokenizer) -> None:
    assert "�" in "".join(gpt2.encode("🚀").texts)
    assert any(piece.startswith("<0x") for piece in llama.encode("🦙").pieces)


def test_an_answer_gets_the_tokens_it_has_in_place(llama: Tokenizer, gpt2: Tokenizer) -> None:
    assert llama.pieces(llama.in_place(llama.encode("1 2 3 4"), " 5")[0]) == ("▁", "5")
    assert gpt2.pieces(gpt2.in_place(gpt2.encode("1 2 3 4"), " 5")[0]) == ("Ġ5",)
    assert llama.pieces(llama.in_place(llama.encode("1 2 3 4"), "5")[0]) == ("5",)


def test_an_answer_to_nothing_gets_the_tokens_the_model_sees(
    llama: Tokenizer, gpt2: Tokenizer
) -> None:
    assert llama.pieces(llama.in_place(llama.encode(""), "5")[0]) == ("▁", "5")
    assert gpt2.pieces(gpt2.in_place(gpt2.encode("", prepend_bos=True), "5")[0]) == ("5",)


def test_an_answer_that_would_change_the_prompts_own_tokens_is_told(gpt2: Tokenizer) -> None:
    ids, retokenizes = gpt2.in_place(gpt2.encode("1 2 3 4 "), "5")
    assert retokenizes and gpt2.pieces(ids) == ("5",)
    assert gpt2.in_place(gpt2.encode("What is Z?\n\n"), "b")[1]
    assert not gpt2.in_place(gpt2.encode("1 2 3 4"), " 5")[1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1 2 3 4 ", "ends in a space"),
        ("<s>5", "sees it twice"),
        ("5 </s> 3", "one special token"),
        (" 13", "read back"),
    ],
)
def test_what_would_surprise_is_told(llama: Tokenizer, text: str, told: str) -> None:
    assert any(told in warning for warning in llama.encode(text).warnings)


def test_a_plain_prompt_has_no_warnings(llama: Tokenizer, gpt2: Tokenizer) -> None:
    for tokenizer in (llama, gpt2):
        assert tokenizer.encode("The capital of France is").warnings == ()


def test_bos_is_there_once_or_not_at_all(llama: Tokenizer, gpt2: Tokenizer) -> None:
    assert llama.encode("a").ids.count(llama.bos_id) == 1
    assert llama.bos_id not in llama.encode("a", prepend_bos=False).ids
    assert not gpt2.encode("a").bos
    assert gpt2.encode("a", prepend_bos=True).ids[0] == gpt2.bos_id


def test_letters_outside_the_vocabulary_are_told() -> None:
    found = engine.tokenize(str(real("gpt-nano-sort")), "ABX")
    assert any("not in this vocabulary" in warning for warning in found.warnings)


def test_a_text_read_again_is_not_tokenized_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer, read = Tokenizer.load(real("llama2-tokenizer")), list[str]()
    own = noting(read, lambda _, text: text, Tokenizer._encoding)
    monkeypatch.setattr(Tokenizer, "_encoding", own)
    for _ in range(3):
        tokens = [tokenizer.encode("a b", bos) for bos in (None, True, False)]
        assert [one.bos for one in tokens] == [True, True, False]
    assert read == ["a b", "a b"]  # with BOS and without
    monkeypatch.setattr("engine.text.tokens._KEPT", 1)
    small = Tokenizer(tokenizer.hf)
    assert small.encode("a b") == small.encode("a b") == tokens[0]  # too long to be kept
    assert len(read) == 4
    for wrong in ("\ud800", None):
        for _ in range(2):
            with pytest.raises(engine.TokenError):
                tokenizer.encode(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["llama2-tokenizer", "gpt2-tokenizer"])
def test_ids_are_decoded_as_by_the_tokenizer_itself(name: str) -> None:
    hf = Tokenizer.load(real(name)).hf
    for n in (3, 100):
        texts = [[i, 2 * i, 29871 - i] for i in range(n)]
        meant = [hf.decode(ids, clean_up_tokenization_spaces=False) for ids in texts]
        assert decoded(hf, texts) == meant
        assert decoded(hf, [*texts, []]) == [*meant, ""]


@pytest.mark.parametrize("way", ["decode", "_decode"])
def test_a_tokenizers_own_way_of_decoding_is_kept(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hf = Tokenizer.load(real("gpt2-tokenizer")).hf
    monkeypatch.setattr(type(hf), way, lambda _, token_ids, **__: f"{token_ids}!", raising=False)
    assert decoded(hf, [[1], [2]]) == ["[1]!", "[2]!"]
