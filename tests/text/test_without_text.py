"""What a model says that its tokenizer has no token for, and models of a few words or of none that
are written as others' are: the text is the tokenizer's, and what is missing is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

import engine
from engine.text.tokens import Tokenizer
from tests.conftest import real
from tests.support.some import some
from tests.support.tokenizer_kinds import MOVES, save_kind

SPACED = ["word level", "word piece", "end-of-word suffix", "unigram", "continuing prefix"]
PROMPTS = {"word level": "m41 m1", "holes": "m41 m1"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A tiny GPT-2 with a tokenizer of a kind and `extra` outputs beyond it; those of `wins` are
    the likeliest everywhere."""
    made: dict[tuple, Path] = {}

    def give(kind: str, extra: int = 0, wins: tuple[int, ...] = ()) -> str:
        key = (kind, extra, wins)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("model")
            save_kind(kind, made[key], marks=False)
            n = max(Tokenizer.load(made[key]).hf.get_vocab().values()) + 1 + extra
            torch.manual_seed(3)
            hf = GPT2LMHeadModel(
                GPT2Config(vocab_size=n, n_embd=32, n_layer=2, n_head=4, n_positions=64,
                           bos_token_id=1, eos_token_id=2, tie_word_embeddings=False)
            )  # fmt: skip
            with torch.no_grad():
                hf.lm_head.weight.mul_(20)
                if wins:  # the final norm's bias is all that is read, and only these like it
                    hf.transformer.ln_f.weight.zero_()
                    hf.transformer.ln_f.bias.fill_(1.0)
                    hf.lm_head.weight.zero_()
                    for place, token in enumerate(wins):
                        hf.lm_head.weight[token].fill_(3.0 - place)
            hf.save_pretrained(made[key])
        return str(made[key])

    return give


def decoded(directory: str, ids: Any) -> str:
    return Tokenizer.load(Path(directory)).hf.decode(ids, clean_up_tokenization_spaces=False)


@pytest.mark.parametrize("kind", SPACED)
def test_every_view_of_a_text_has_the_text_the_decoder_gives(kind: str, model: Any) -> None:
    directory, prompt = model(kind), PROMPTS.get(kind, "the he")
    e = engine.Experiment(directory, prompt, ablations="0.0")
    ids = list(engine.tokenize(directory, prompt).ids)
    assert "".join(engine.tokenize(directory, prompt).texts) == decoded(directory, ids)
    ranking = engine.next_token(e).clean
    for token, text in zip(ranking.ids, ranking.texts, strict=True):
        assert decoded(directory, ids) + text == decoded(directory, [*ids, int(token)])
    steps = list(engine.generate(e, 12, temperature=2.0, seed=4))
    for name in ("clean", "ablated"):
        runs = [getattr(step, name) for step in steps if getattr(step, name)]
        said = [run.token_id for run in runs]
        for at, run in enumerate(runs):
            before = [*ids, *said[:at]]
            assert decoded(directory, before) + run.text == decoded(
                directory, [*ids, *said[: at + 1]]
            )
            for token, text in zip(run.top.ids, run.top.texts, strict=True):
                assert decoded(directory, before) + text == decoded(
                    directory, [*before, int(token)]
                )
    many = engine.generate_many(e, [prompt], 12, temperature=2.0, seed=4).result()
    for run, one in zip(("clean", "ablated"), many.rows[0].continuations, strict=True):
        texts = [getattr(s, run).text for s in steps if getattr(s, run)]
        assert some(one).text == "".join(texts)


@pytest.mark.parametrize("retokenize", [False, True])
def test_a_word_level_text_is_tokenized_as_it_was_made(model: Any, retokenize: bool) -> None:
    directory = model("word level", wins=(3 + MOVES.index("m7"),))
    steps = engine.generate(engine.Experiment(directory, "m1 m2"), 5, retokenize=retokenize)
    runs = [some(step.clean) for step in steps]
    assert "".join(run.text for run in runs) == " m7 m7 m7 m7 m7"
    assert not any(run.retokenizes or run.rewritten for run in runs)


@pytest.mark.parametrize("answer", [" m7", "m7", " m7 m7", "m7 m7"])
def test_word_level_answers_are_right_with_and_without_the_space_they_have_no_token_for(
    model: Any, answer: str
) -> None:
    e = engine.Experiment(model("word level", wins=(3 + MOVES.index("m7"),)))
    prompts = [engine.Example("", prompt, answer) for prompt in ("m1", "m1 m2")]
    found = engine.generate_many(e, prompts, 3).result()
    assert found.totals[0].share_right == 1
    wrong = [engine.Example("", "m1", other) for other in (" m8", "m7m7", " m77", " m7 m8")]
    assert engine.generate_many(e, wrong, 3).result().totals[0].right == 0


@pytest.mark.parametrize("retokenize", [False, True])
@pytest.mark.parametrize("kind", ["word level", "byte level", "unigram", "byte fallback", "holes"])
def test_an_id_beyond_the_tokenizer_has_no_text_and_nothing_to_feed(
    kind: str, retokenize: bool, model: Any
) -> None:
    n = len(Tokenizer.load(Path(model(kind))).hf.get_vocab())
    beyond = 4 if kind == "holes" else n + 9
    directory = model(kind, extra=20, wins=(beyond, 3))
    e = engine.Experiment(directory, PROMPTS.get(kind, "a"))
    ranking = engine.next_token(e)
    assert ranking.clean.ids[0] == beyond and ranking.clean.texts[0] == ""
    assert ranking.clean.tokens[0] == f"<id {beyond}>"
    assert f"Id {beyond} has no token" in " ".join(ranking.notes)
    steps = list(engine.generate(e, 3, retokenize=retokenize))
    prompt = engine.tokenize(directory, e.prompt).ids
    for step in steps:
        run = some(step.clean)
        assert run.token_id == beyond and run.text == ""
        assert run.top.texts[0] == "" and run.top.texts[1]
        assert f"Id {beyond} has no token" in run.note
        assert ("hole" in run.note) == (kind == "holes")
        assert run.retokenizes
        assert run.rewritten == (prompt if retokenize else None)
    one = some(engine.generate_many(e, [e.prompt], 3).result().rows[0].continuations[0])
    assert one.text == "" and f"Id {beyond} has no token" in one.note
    notes = {row["note"] for step in steps for row in step.table() if row["kind"] == "taken"}
    assert notes == {some(steps[0].clean).note}


def test_tokens_the_vocabulary_has_are_not_told_of(model: Any) -> None:
    e = engine.Experiment(model("word level"), "m1 m2")
    assert engine.next_token(e).notes == ()
    assert not any(some(step.clean).note for step in engine.generate(e, 3))


def test_defaults_fit_a_vocabulary_of_three() -> None:
    e = engine.Experiment(str(real("gpt-nano-sort")), "ABC", ablations="0.0")
    assert engine.logit_lens(e).clean.ids.shape == (3, 3, 3)
    runs = [some(step.clean) for step in engine.generate(e, 3)]
    assert all(sorted(run.top.ids) == [0, 1, 2] for run in runs)
    assert "".join(run.text for run in runs).strip("ABC") == ""
    for question in (engine.logit_lens, engine.generate):
        with pytest.raises(engine.EngineError, match="1 to 3"):
            question(e, k=5)


def test_defaults_of_larger_vocabularies_are_as_they_were() -> None:
    e = engine.Experiment("seq-gpt2", "1 2 3")
    assert engine.logit_lens(e).clean.ids.shape[-1] == 5
    assert len(some(next(engine.generate(e, 1)).clean).top.ids) == 10
