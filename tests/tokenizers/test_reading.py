"""Questions to a tokenizer: against recorded facts and independent ids, and by identities."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

import engine
from engine.model import checkpoints
from engine.text.tokens import Tokenizer
from engine.tokenizers import vocabularies
from engine.tokenizers.vocabularies import find_tokenizer
from tests.conftest import SHARED, real
from tests.support.some import some

SETTINGS = {
    "llama2-tokenizer": ({}, None),
    "llama2-tokenizer legacy=True": ({"legacy": True}, None),
    "llama2-tokenizer add_prefix_space=False": ({"add_prefix_space": False}, None),
    "llama2-tokenizer add_bos_token=False": ({}, False),
    "llama2-tokenizer use_fast=False": ({"use_fast": False}, None),
    "gpt2-tokenizer": ({}, None),
    "gpt2-tokenizer add_prefix_space=True": ({"add_prefix_space": True}, None),
}
"""Recorded settings, named for their files: the options Hugging Face was given, and BOS."""

FROM_OTHER_FILES = {
    "llama2-tokenizer-spm-only": "tokenizer.model with its configs, without tokenizer.json",
    "llama2-tokenizer-exact": "tokenizer.json read as it stands, not rebuilt by LlamaTokenizer",
}

LLAMA_DISAGREES = (
    " ", "  ", "   ", " Hello world", " Hello World", " Hello World!", " Hello, world!",
    " this is 🦙.cpp", " Hello", "  Hello", "   Hello", "    Hello", "    Hello\n    Hello", " (",
    " discards",
)  # fmt: skip
"""Where LlamaTokenizer gives other ids than llama.cpp and SentencePiece: the texts that begin with
a space. As transformers 5.23 builds it, it puts its dummy space in front only where there is none;
SentencePiece always does, so that “ 13” begins with ▁▁ there and with ▁ here."""


def facts(setting: str) -> list[dict]:
    path = SHARED / "facts/tokenization_facts.json"
    return json.loads(path.read_text("utf-8"))["facts"][setting]


def vectors(name: str) -> list[dict]:
    path = SHARED / "facts/llama_cpp_test_vectors.json"
    return json.loads(path.read_text("utf-8"))["vectors"][name]


def reproduced(tokenizer: Tokenizer, setting: str, bos: bool | None = None) -> None:
    assert len(facts(setting)) == 30
    for fact in facts(setting):
        found = tokenizer.encode(fact["text"], bos)
        assert list(found.ids) == fact["input_ids"], fact["text"]
        assert list(found.pieces) == fact["tokens of input_ids"], fact["text"]
        assert [list(span) for span in found.offsets] == fact["offsets"], fact["text"]
        assert tokenizer.decode(found.ids) == fact["decode"], fact["text"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The directories that two of the settings were recorded from, made from the files at hand."""
    llama = real("llama2-tokenizer")
    spm, exact = (tmp_path_factory.mktemp(name) for name in ("spm", "exact"))
    names = "tokenizer.model tokenizer_config.json special_tokens_map.json config.json"
    for name in names.split():
        shutil.copyfile(llama / name, spm / name)
    shutil.copyfile(llama / "tokenizer.json", exact / "tokenizer.json")
    config = json.loads((llama / "tokenizer_config.json").read_text("utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    (exact / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    return {"llama2-tokenizer-spm-only": spm, "llama2-tokenizer-exact": exact}


def test_every_recorded_setting_has_its_test() -> None:
    real("llama2-tokenizer")
    recorded = json.loads((SHARED / "facts/tokenization_facts.json").read_text("utf-8"))["facts"]
    sentencepiece = {"sentencepiece (tokenizer.model, no HF)"}
    assert {*SETTINGS, *FROM_OTHER_FILES} | sentencepiece == set(recorded) and len(recorded) == 10


@pytest.mark.parametrize("setting", SETTINGS)
def test_a_recorded_setting_is_reproduced(setting: str) -> None:
    options, bos = SETTINGS[setting]
    files = str(real(setting.split()[0]))
    hf = AutoTokenizer.from_pretrained(files, local_files_only=True, **options)
    reproduced(Tokenizer(hf), setting, bos)


@pytest.mark.parametrize("setting", FROM_OTHER_FILES)
def test_a_setting_recorded_from_other_files_is_reproduced(
    setting: str, made: dict[str, Path]
) -> None:
    reproduced(find_tokenizer(str(made[setting])), setting)


def test_sentencepieces_own_ids_are_the_recorded_and_the_independent_ones() -> None:
    name = str(real("llama2-tokenizer"))
    for fact in facts("sentencepiece (tokenizer.model, no HF)"):
        found = some(engine.compare_sentencepiece(name, fact["text"]))
        assert list(found.ids) == fact["input_ids"] and list(found.pieces) == fact["tokens"]
    for vector in vectors("llama-spm"):
        assert list(some(engine.compare_sentencepiece(name, vector["text"])).ids) == vector["ids"]


def test_the_independent_ids_for_gpt2_are_reproduced() -> None:
    name = str(real("gpt2-tokenizer"))
    assert len(vectors("gpt-2")) == 47
    for vector in vectors("gpt-2"):
        assert list(engine.tokenize(name, vector["text"], False).ids) == vector["ids"]


def test_the_independent_ids_for_llama_are_reproduced_but_for_those_named_here_and_shown() -> None:
    name = str(real("llama2-tokenizer"))
    wrong = []
    for vector in vectors("llama-spm"):
        found = some(engine.compare_sentencepiece(name, vector["text"]))
        if list(found.hf_ids) != vector["ids"]:
            wrong.append(vector["text"])
            assert not found.agree and not all(same for *_, same in found.blocks)
        else:
            assert found.agree
    assert wrong == list(LLAMA_DISAGREES)
    assert wrong == [v["text"] for v in vectors("llama-spm") if v["text"].startswith(" ")]


def test_llamas_own_tokenizer_json_reproduces_all_of_the_independent_ids(
    made: dict[str, Path],
) -> None:
    name = str(made["llama2-tokenizer-exact"])
    assert len(vectors("llama-spm")) == 47
    for vector in vectors("llama-spm"):
        assert list(engine.tokenize(name, vector["text"], False).ids) == vector["ids"]


@given(text=st.text(max_size=30))
@pytest.mark.parametrize("name", ["seq-gpt2", "seq-llama"])
def test_the_bytes_of_all_tokens_are_the_texts(name: str, text: Any) -> None:
    view = engine.token_view(name, text, prepend_bos=False)
    if not view.tokens.warnings:  # special tokens and spaces in front are told
        assert b"".join(view.data).decode().removeprefix(" ") == text.removeprefix(" ")
        assert view.reads_back and view.same_ids


def test_part_of_a_character_names_the_character() -> None:
    view = engine.token_view(str(real("gpt2-tokenizer")), "é🚀")
    assert b"".join(view.data) == "é🚀".encode()
    assert [view.part_of(at) for at in range(len(view.tokens))] == ["", "🚀", "🚀", "🚀"]


def test_a_space_that_is_lost_on_the_way_back_is_told() -> None:
    view = engine.token_view("seq-llama", " 13")
    assert not view.reads_back and view.decoded == "13" and view.same_ids
    assert any("Write the prompt without spaces in front" in told for told in view.tokens.warnings)


@given(text=st.text(max_size=30))
def test_aligned_blocks_cover_the_text_and_every_token_once(text: Any) -> None:
    found = engine.compare_tokenizers(text, ["seq-gpt2", "seq-llama"])
    assert "".join(text[b.start : b.end] for b in found.blocks) == text
    for i, tokens in enumerate(map(some, found.tokens)):
        spans = [b.spans[i] for b in found.blocks]
        assert [at for span in spans for at in range(*span)] == list(range(len(tokens)))
        for block, span in zip(found.blocks, spans, strict=True):
            for at in range(*span):
                start, end = tokens.offsets[at]
                assert end == 0 or block.start <= start <= end <= block.end


def test_a_tokenizer_that_cannot_be_read_stops_no_other() -> None:
    found = engine.compare_tokenizers("1 2", ["/no/such", "seq-gpt2"])
    assert found.tokens[0] is None and "no directory" in found.errors[0]
    assert found.tokens[1] is not None and found.errors[1] == ""


def test_no_weights_are_loaded_for_a_tokenizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in checkpoints.find_tokenizer_directory("seq-llama").glob("tokenizer*"):
        shutil.copyfile(file, tmp_path / file.name)
    monkeypatch.setattr("engine.registry.open_model", lambda *_: pytest.fail("weights were read"))
    assert len(engine.token_view(str(tmp_path), "1 2").tokens) == 5
    assert engine.number_lengths(str(tmp_path), most=9).lengths.tolist() == [2] * 10


def test_a_tokenizer_written_anew_is_read_anew(tmp_path: Path) -> None:
    for name in ("seq-gpt2", "seq-llama"):
        for old in tmp_path.iterdir():
            old.unlink()
        for file in checkpoints.find_tokenizer_directory(name).glob("*token*.*"):
            shutil.copyfile(file, tmp_path / file.name)
        assert engine.tokenize(str(tmp_path), "1 2").ids == engine.tokenize(name, "1 2").ids


def test_few_tokenizers_are_kept(tmp_path: Path) -> None:
    source = checkpoints.find_tokenizer_directory("seq-gpt2")
    for i in range(vocabularies._MOST + 2):
        (tmp_path / str(i)).mkdir()
        for file in source.glob("tokenizer*"):
            shutil.copyfile(file, tmp_path / str(i) / file.name)
        engine.tokenize(str(tmp_path / str(i)), "1")
    assert len(vocabularies._kept) <= vocabularies._MOST


@pytest.mark.parametrize("after_space", [False, True])
@pytest.mark.parametrize("name", ["seq-gpt2", "seq-llama"])
def test_numbers_are_counted_as_they_are_tokenized(name: str, after_space: bool) -> None:
    found = engine.number_lengths(name, after_space=after_space)
    assert len(found.lengths) == 1001 and found is engine.number_lengths(name, 1000, after_space)
    before = len(engine.tokenize(name, "a", False))
    for n in (0, 7, 13, 99, 100, 1000):
        if after_space:
            assert found.lengths[n] == len(engine.tokenize(name, f"a {n}", False)) - before
        else:
            assert found.lengths[n] == len(engine.tokenize(name, str(n), False))


def test_the_picture_of_the_numbers_holds_the_numbers() -> None:
    found = engine.number_lengths("seq-llama")
    z = np.asarray(found.figure().data[0].z)
    assert z.shape == (11, 100)
    drawn = z.ravel()[:1001] + found.lengths.min()
    assert (drawn == found.lengths).all() and np.isnan(z.ravel()[1001:]).all()


def test_more_numbers_than_can_be_drawn_are_refused() -> None:
    with pytest.raises(engine.TokenError, match="9,999"):
        engine.number_lengths("seq-gpt2", most=1_000_000)


@pytest.mark.parametrize(
    ("prompt", "answer", "changes"),
    [("1 2 3 4 ", "5", True), ("1 2 3 4", " 5", False), ("What is Z?\n\n", "b", True)],
)
def test_an_answer_that_changes_the_prompts_tokens_is_told(
    prompt: str, answer: str, changes: bool
) -> None:
    found = engine.would_change(str(real("gpt2-tokenizer")), prompt, answer)
    assert found.changes == changes
    assert found.joined.ids[: found.kept] == found.prompt.ids[: found.kept]
    assert (found.kept < len(found.prompt)) == changes
    if not changes:
        assert found.joined.ids == found.prompt.ids + found.answer_ids


def test_each_twin_is_the_experiment_with_its_prompt() -> None:
    e = engine.Experiment(model="seq-llama", prompt="1 2 3", answer=" 4",
                          ablations=engine.ablations("a0"))  # fmt: skip
    found = engine.twins(e).twins
    assert found[0].name == "as it is" and found[-1].name == "with BOS off"
    for twin in found:
        alone = engine.next_token(
            engine.Experiment(model=e.model, prompt=twin.prompt, answer=" 4",
                              prepend_bos=twin.bos, ablations=e.ablations), k=3)  # fmt: skip
        found_next = some(twin.next)
        assert found_next.clean.ids.tolist() == alone.clean.ids.tolist()
        np.testing.assert_allclose(found_next.ablated.probs, alone.ablated.probs, rtol=1e-5)
        assert twin.tokens == alone.tokens


def test_twins_of_a_prompt_that_has_spaces_and_line_ends_are_without_them() -> None:
    names = {t.prompt for t in engine.twins(engine.Experiment(prompt=" 1 2 ")).twins}
    assert {"1 2 ", " 1 2"} <= names
    assert "1 2" in {t.prompt for t in engine.twins(engine.Experiment(prompt="1 2\n")).twins}


def test_a_twin_too_long_for_the_model_says_so() -> None:
    found = engine.twins(engine.Experiment(model="seq-gpt2", prompt="1 " * 400)).twins
    assert all(t.next is None and "at most" in t.error for t in found)


def test_a_lone_surrogate_is_told_in_its_row_and_stops_no_other() -> None:
    found = engine.token_views("seq-gpt2", ["1 2", "a\ud83d", "3"])
    assert [view is None for view in found.views] == [False, True, False]
    assert "half of a surrogate pair" in found.errors[1]
    for ask in (engine.token_view, engine.compare_sentencepiece):
        with pytest.raises(engine.TokenError, match="surrogate"):
            ask("seq-llama", "a\ud83d")


def test_four_thousand_tokens_are_read_in_every_view() -> None:
    text = "13 é🚀 " * 500
    view = engine.token_view("seq-llama", text)
    assert len(view.tokens) > 4000 and len(view.table()) == len(view.tokens)
    assert len(engine.compare_tokenizers(text, ["seq-gpt2", "seq-llama"]).blocks) > 1000
    assert some(engine.compare_sentencepiece("seq-llama", text)).agree


def test_threads_that_ask_at_once_get_their_own_answers() -> None:
    wrong: list[str] = []

    def ask(text: str) -> None:
        expected = engine.token_view("seq-llama", text)
        for _ in range(20):
            if engine.token_view("seq-llama", text) != expected:
                wrong.append(text)

    threads = [threading.Thread(target=ask, args=(f"{n} {n}" * n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
