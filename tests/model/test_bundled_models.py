"""The two models that ship: small, ordinary directories that do what their cards say."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sentencepiece
from transformers import AutoModelForCausalLM, AutoTokenizer

import engine
from engine.model.checkpoints import BUNDLED
from engine.tasks.families import LADDERS
from tests.test_architecture import ROOT
from training.card import accuracy, families
from training.corpus import held_out

NAMES = ("seq-gpt2", "seq-llama")

TEXTS = (
    "1 2 3 4", "5 3 9", "January February", " leading", "trailing ", "two  spaces", "a\nb\n",
    "If today is April 12th, then in 15 days it will be", "tab\tand\r\n", "😀 ünïcode 中文 عربى",
    "<s>", "▁", "\u200b", "it's 3.14%", "",
)  # fmt: skip
QUIRKS = (" leading", "▁", "<s>")
"""LlamaTokenizer, as in Llama-2, drops a leading space, and SentencePiece writes a space as ▁; a
special token's name is that token. The page warns of each."""


def tokenizer(name: str) -> Any:
    return AutoTokenizer.from_pretrained(BUNDLED / name)


def card(name: str) -> dict:
    return json.loads((BUNDLED / name / "card.json").read_text("utf-8"))


def test_both_ship() -> None:
    assert set(NAMES) <= {m.name for m in engine.models()}


@pytest.mark.parametrize("name", NAMES)
def test_each_is_an_ordinary_directory_of_at_most_ten_megabytes(name: str) -> None:
    files = [f for f in (BUNDLED / name).rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) <= 10_000_000
    assert {f.suffix for f in files} <= {".json", ".safetensors", ".model", ".md"}
    model = AutoModelForCausalLM.from_pretrained(BUNDLED / name)
    assert model.config.model_type == {"seq-gpt2": "gpt2", "seq-llama": "llama"}[name]
    assert tokenizer(name)("1 2 3").input_ids


@pytest.mark.parametrize("name", NAMES)
def test_every_text_comes_back(name: str) -> None:
    t = tokenizer(name)
    for text in TEXTS:
        if name == "seq-llama" and text in QUIRKS:
            continue
        ids = t(text, add_special_tokens=False).input_ids
        assert t.decode(ids, clean_up_tokenization_spaces=False) == text


def test_seq_gpt2_has_numbers_of_one_token_and_no_bos() -> None:
    t = tokenizer("seq-gpt2")
    for n in range(320):
        assert len(t(f" {n}").input_ids) == len(t(f"{n}").input_ids) == 1, n
    for word in ("January", "twelve", "Monday", "enero"):
        assert len(t(f" {word}").input_ids) == 1, word
    assert engine.tokenize("seq-gpt2", "1 2").bos is False
    assert engine.tokenize("seq-gpt2", "1 2", prepend_bos=True).pieces[0] == "<|endoftext|>"


def test_seq_llama_splits_digits_behind_a_bare_space() -> None:
    found = engine.tokenize("seq-llama", "5 3 9")
    assert found.pieces == ("<s>", "▁", "5", "▁", "3", "▁", "9")
    assert engine.tokenize("seq-llama", "12").pieces == ("<s>", "▁", "1", "2")
    assert [p for p in engine.tokenize("seq-llama", "😀").pieces if p.startswith("<0x")]


def test_seq_llama_gives_the_ids_of_sentencepiece() -> None:
    ours = tokenizer("seq-llama")
    theirs = sentencepiece.SentencePieceProcessor(str(BUNDLED / "seq-llama" / "tokenizer.model"))
    for text in [t for t in TEXTS if t and t not in QUIRKS]:
        assert ours(text, add_special_tokens=False).input_ids == theirs.encode(text), text


def test_what_the_tokens_do_not_read_back_is_warned_of() -> None:
    for text in QUIRKS:
        assert engine.tokenize("seq-llama", text).warnings, text


def test_seq_llama_groups_its_queries() -> None:
    shape = engine.load("seq-llama").shape
    assert shape.n_key_value_heads < shape.n_heads


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("1 2 3 4", " 5"),
        ("one two three four", " five"),
        ("January February March April", " May"),
        ("Monday Tuesday Wednesday", " Thursday"),
        ("A B C D", " E"),
        ("uno dos tres cuatro", " cinco"),
        ("enero febrero marzo abril", " mayo"),
        ("2 4 6 8", " 10"),
        ("10 20 30 40", " 50"),
        ("20 19 18 17", " 16"),
        ("1 1 2 3 5 8", " 13"),
        ("Van done in 1. Hat done in 2. Ring done in 3. Desk done in", " 4"),
    ],
)
def test_what_anyone_types_first_is_answered(name: str, prompt: str, answer: str) -> None:
    found = engine.next_token(engine.Experiment(name, prompt, answer=answer))
    assert found.answer is not None and found.answer.clean.prob > 0.5
    assert found.answer.clean.rank == 1


@pytest.mark.parametrize("name", NAMES)
def test_the_card_tells_what_the_model_does(name: str) -> None:
    told = card(name)["accuracy"]
    measured = accuracy(BUNDLED / name, held_out().examples)
    assert told == measured
    plain = {f: told[f]["share"] for f in told if f in LADDERS or f.startswith("done in")}
    assert len(plain) == 18
    assert not {family: share for family, share in plain.items() if share < 0.98}
    assert told["dates"]["share"] > 0.9 and told["ages"]["share"] > 0.9
    text = Path(BUNDLED / name / "README.md").read_text("utf-8")
    for family, found in told.items():
        assert f"| {family} | {100 * found['share']:.1f}% |" in text


@pytest.mark.parametrize("name", NAMES)
def test_the_cards_heads_are_the_models(name: str) -> None:
    told = card(name)["shared_heads"]
    asked = families(Random(told["seed"]))
    shared = tuple(engine.parse_sites(" ".join(told["shared"])))
    for family, kept in told["kept_without_shared"].items():
        assert asked[family].share_kept(name, shared) == pytest.approx(kept["shared"], abs=0.01)
        head, lost = told["top"][family][0]
        alone = asked[family].share_kept(name, engine.parse_sites(head))
        assert 1 - alone == pytest.approx(lost, abs=0.01)
        assert kept["anywhere"]["n"] == 50


def test_examples_of_the_page_work_on_both_models() -> None:
    for example in json.loads((ROOT / "assets" / "prompts.json").read_text("utf-8")):
        for name in NAMES:
            for method in ("zero", "mean", "mean_by_position", "resample"):
                e = engine.Experiment(
                    name, example["prompt"], answer=example["answer"],
                    distractor=example["distractor"], corrupted=example["corrupted"],
                    references=example["references"], method=method, ablations="a0",
                )  # fmt: skip
                found = engine.next_token(e)
                assert found.answer is not None and found.distractor is not None
