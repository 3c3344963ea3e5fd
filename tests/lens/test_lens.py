"""The lens against the Hugging Face model's own norm and unembedding, and truths it must keep."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import engine
from engine.lens.cells import Distribution, Output, Scratch
from engine.passes import forward
from tests.conftest import real
from tests.support.reference import Reference
from tests.support.tiny_models import CONFIGS, LAYERS, SCALED, Tiny

PROMPT = "t1 t5 t9 t2 t7"


def probs(logits: np.ndarray) -> np.ndarray:
    return torch.tensor(logits).double().softmax(-1).numpy()


def close(a: Any, b: Any, atol: Any = 1e-5) -> None:
    np.testing.assert_allclose(a, b, atol=atol, rtol=0)


@pytest.mark.parametrize("kind", [*CONFIGS, *SCALED])
@pytest.mark.parametrize("ablated", ["", "1.2 m0"])
def test_the_last_row_is_the_models_output(kind: str, tiny: Tiny, ablated: str) -> None:
    e = engine.Experiment(str(tiny(kind)), PROMPT, ablations=ablated)
    lens = engine.logit_lens(e, k=8)
    output = engine.activations(e, [])
    for run, logits in ((lens.clean, output.clean_logits), (lens.ablated, output.ablated_logits)):
        meant = probs(logits)
        close(run.probs[-1], np.take_along_axis(meant, run.ids[-1], 1))
        close(run.divergence[-1], 0)
        assert (np.diff(run.probs, axis=-1) <= 0).all()


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2", "gptj", "opt", "stablelm", *SCALED])
def test_every_row_is_the_norm_and_unembedding_of_hugging_face(kind: str, tiny: Tiny) -> None:
    directory = str(tiny(kind))
    e = engine.Experiment(directory, PROMPT)
    lens = engine.logit_lens(e, k=64)
    hf = AutoModelForCausalLM.from_pretrained(directory, attn_implementation="eager").eval()
    ids = torch.tensor([engine.tokenize(directory, PROMPT).ids])
    with torch.no_grad():
        states = hf(ids, output_hidden_states=True).hidden_states
        decoder = hf.get_decoder()
        norm = next(
            getattr(decoder, n)
            for n in ("norm", "ln_f", "final_layer_norm", "final_layernorm")
            if getattr(decoder, n, None) is not None
        )
        for layer in range(LAYERS - 1):  # the last hidden state is normalized already
            logits = hf.get_output_embeddings()(norm(states[layer + 1]))[0]
            cap = getattr(hf.config, "final_logit_softcapping", None)
            logits = logits if cap is None else cap * torch.tanh(logits / cap)
            logits = logits / getattr(hf.config, "logits_scaling", 1.0)
            logits = logits * getattr(hf.config, "logit_scale", 1.0)
            meant = probs(logits.numpy())
            close(lens.clean.probs[layer], np.take_along_axis(meant, lens.clean.ids[layer], 1))


def test_an_ablated_lens_is_the_clean_one_before_the_first_change(tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("llama")), PROMPT, ablations="1.0 m2")
    lens = engine.logit_lens(e)
    close(lens.clean.probs[0], lens.ablated.probs[0], 1e-6)
    assert (lens.clean.probs[2] != lens.ablated.probs[2]).any()
    plain = Reference(e.model).logits(lens.read).numpy()
    close(lens.clean.probs[-1], np.take_along_axis(probs(plain), lens.clean.ids[-1], 1))


def test_ranks_moves_entropy_and_divergence_are_what_they_say(tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("gpt2")), PROMPT, answer=" t3", distractor=" t4")
    lens = engine.logit_lens(e, k=64)
    run = lens.clean
    order = np.argsort(np.argsort(run.ids, axis=-1), axis=-1)  # a token's place in each cell
    for layer in range(1, LAYERS):
        for pos in range(run.ids.shape[1]):
            before = {int(t): i for i, t in enumerate(run.ids[layer - 1, pos])}
            moved = [before[int(t)] - i for i, t in enumerate(run.ids[layer, pos])]
            assert moved == run.moves[layer, pos].tolist()
    assert (run.moves[0] == 0).all() and order.shape == run.ids.shape
    close(run.entropy, -(run.probs * run.log_probs).sum(-1), 1e-4)
    by_id = np.argsort(run.ids, axis=-1)
    aligned = np.take_along_axis(run.log_probs, by_id, -1)
    close(run.divergence, (np.exp(aligned[-1]) * (aligned[-1] - aligned)).sum(-1), 1e-4)
    answer = engine.next_token(e).answer
    assert answer is not None and run.answer is not None
    assert run.answer.ranks[-1, -1] == answer.clean.rank
    close(run.answer.log_probs[-1, -1], answer.clean.log_prob)


def test_the_answer_is_followed_where_it_is_decided() -> None:
    e = engine.Experiment("seq-llama", "1 2 3 4", answer=" 5", distractor=" 4")
    lens = engine.logit_lens(e, at="answer")
    assert lens.pieces[-1] == "▁" and lens.pieces[:-1] == lens.tokens.pieces
    assert lens.clean.answer is not None and lens.clean.answer.token == "5"
    assert lens.clean.answer.ranks[-1, -1] == 1 and lens.clean.leads_from is not None
    first = lens.clean.answer.ranks[: lens.clean.leads_from, -1]
    assert (first > 1).all()


@pytest.mark.parametrize("stream", ["attn_out", "mlp_out"])
def test_parts_are_read_alone(tiny: Tiny, stream: str) -> None:
    e = engine.Experiment(str(tiny("gpt2")), PROMPT, ablations="a1 m1")
    lens = engine.logit_lens(e, stream=stream)
    assert (lens.clean.probs[1] != lens.ablated.probs[1]).any()
    assert (lens.clean.probs != engine.logit_lens(e).clean.probs).any()


def test_what_cannot_be_read_is_refused_in_words(tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("gpt2")), PROMPT)
    for wrong in ({"stream": "z"}, {"at": "end"}, {"k": 0}, {"k": 10**6}):
        with pytest.raises(engine.ExperimentError):
            engine.logit_lens(e, **wrong)


@pytest.mark.parametrize("stream", ["attn_out", "mlp_out"])
def test_a_part_is_read_as_it_is_added_to_the_stream_and_otherwise_refused(
    stream: str, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    e = engine.Experiment(str(tiny("granite")), PROMPT)  # its parts are scaled on the way
    assert engine.logit_lens(e, stream=stream).clean.probs.shape[0] == LAYERS
    run = forward.run

    def unscaled(model: Any, rows: Any) -> Any:
        results = run(model, rows)
        for (name, _), value in results[0].captured.items():
            value.mul_(1 / 0.3 if name == stream else 1)
        return results

    monkeypatch.setattr(forward, "run", unscaled)
    with pytest.raises(engine.EngineError, match=f"{stream} is not what a layer adds"):
        engine.logit_lens(e, stream=stream)


def test_a_model_that_normalizes_within_its_blocks_alone_is_refused_in_words(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    e = engine.Experiment(str(tiny("gpt2")), PROMPT)
    model = engine.load(e.model)
    reaches = model.reaches
    monkeypatch.setattr(model, "reaches", lambda name, i: name != "ln_final" and reaches(name, i))
    with pytest.raises(engine.EngineError, match="numbers that mean nothing"):
        engine.logit_lens(e)


def test_the_story_model_is_read_as_its_output() -> None:
    e = engine.Experiment(
        str(real("stories260K")), "Once upon a time, there was a", answer=" little"
    )
    lens = engine.logit_lens(e)
    output = probs(engine.activations(e, []).clean_logits)
    close(lens.clean.probs[-1], np.take_along_axis(output, lens.clean.ids[-1], 1))


def test_a_kept_clean_run_gives_the_same_lens(tiny: Tiny) -> None:
    first = engine.Experiment(str(tiny("gpt2")), PROMPT, answer=" t3")
    for ablated in ("", "1.2", "m2", "0.1 m1", ""):
        e = replace(first, ablations=engine.ablations(ablated))
        again = engine.logit_lens(e)
        engine.load(e.model).lenses.clear()
        new = engine.logit_lens(e)
        for run in ("clean", "ablated"):
            one, other = getattr(again, run), getattr(new, run)
            assert (one.ids == other.ids).all() and (one.moves == other.moves).all()
            for measure in ("prob", "entropy", "divergence", "rank"):
                close(one.values(measure), other.values(measure))
        engine.logit_lens(first)


def test_only_the_last_positions_are_read_where_asked(tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("gpt2")), PROMPT, ablations="1.2", answer=" t3")
    whole, part = engine.logit_lens(e), engine.logit_lens(e, last=2)
    assert (whole.first, part.first, engine.logit_lens(e, last=99).first) == (0, 4, 0)
    assert part.pieces == whole.pieces
    for run in ("clean", "ablated"):
        for measure in ("prob", "entropy", "divergence", "rank"):
            close(part.values(run, measure), whole.values(run, measure)[:, 4:])
    assert part.text("ablated") == whole.text("ablated")


def test_a_long_prompt_is_read_in_parts_to_the_same_end(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    d_vocab = engine.load(str(tiny("llama"))).shape.d_vocab
    monkeypatch.setattr("engine.lens.logit_lens._BYTES", 4 * d_vocab * 2 * LAYERS)
    monkeypatch.setattr("engine.model.kernels._OUTPUTS", 8)  # logits are put into memory kept
    e = engine.Experiment(
        str(tiny("llama")), PROMPT, ablations="1.2 m2", answer=" t3", distractor=" t4"
    )
    parts = engine.logit_lens(e, k=7)
    monkeypatch.undo()
    engine.load(e.model).lenses.clear()
    whole = engine.logit_lens(e, k=7)
    for run in ("clean", "ablated"):
        one, other = getattr(parts, run), getattr(whole, run)
        assert (one.ids == other.ids).all() and (one.moves == other.moves).all()
        assert (one.answer.ranks == other.answer.ranks).all()
        assert (one.distractor.ranks == other.distractor.ranks).all()
        close(one.divergence, other.divergence)


def distribution(logits: Any, scratch: Any = None) -> Any:
    return Distribution(logits, logits.amax(-1), scratch or Scratch())


def test_the_rank_among_equal_logits_is_by_id() -> None:
    here = distribution(torch.tensor([[1.0, 3.0, 1.0, 3.0, 1.0, 2.0]]))
    assert [int(here.rank(token)) for token in range(6)] == [4, 1, 5, 2, 6, 3]


def test_a_distribution_is_that_of_its_logits_also_where_some_are_ruled_out() -> None:
    logits = 30 * torch.randn(4, 1000, generator=torch.Generator().manual_seed(0))
    logits[1, 3:] = -torch.inf
    scratch = Scratch()
    output = Output.of(distribution(logits.flip(0), scratch))
    meant = logits.flip(0).double().softmax(-1)
    close(output.probs, meant)
    here, log_probs = distribution(logits, scratch), logits.double().log_softmax(-1)
    close(here.entropy(), torch.distributions.Categorical(logits=logits.double()).entropy())
    kl = (meant * (meant.log() - log_probs)).sum(-1)
    rows = [0, 3]  # the other two give no probability where some is
    close(output.divergence(here)[rows], kl[rows], 1e-4)
    assert (output.divergence(here)[[1]] > 1e6).all()


def test_the_difference_is_ablated_minus_clean_and_the_table_is_text() -> None:
    e = engine.Experiment("seq-gpt2", "1 2 3 4", answer=" 5", ablations="a0")
    lens = engine.logit_lens(e)
    for measure in ("prob", "entropy", "divergence", "rank"):
        clean, ablated = lens.values("clean", measure), lens.values("ablated", measure)
        assert (lens.values("difference", measure) == ablated - clean).all()
        grid, change = lens.grid("difference", measure), ablated - clean
        assert ((grid.signs == "+") <= (change > 0)).all()
        assert ((grid.signs == "−") <= (change < 0)).all()
        strongest = np.unravel_index(np.argmax(abs(change)), change.shape)
        assert grid.signs[strongest] == ("+" if change[strongest] > 0 else "−")
        assert str(grid.figure().data[0].text[strongest]).startswith(grid.signs[strongest])
        assert not any(lens.grid("ablated", measure).signs.flat)
    lines = lens.text("clean").split("\n")
    assert lines[0].split() == ["layer", "1", "2", "3", "4", "5"] and len(lines) == 7
    assert lines[-1].split()[:2] == ["5", "␣5"]
    last = lens.table("clean", "rank")[-1]
    assert [last[name] for name in ("layer", "position", "read", "rank", "token1")] == [
        5, 3, "Ġ4", 1, " 5"
    ]  # fmt: skip
    last = lens.table("difference", "prob")[-1]
    assert (
        last["clean_token1"] == " 5" and last["prob"] == lens.values("difference", "prob")[-1, -1]
    )
