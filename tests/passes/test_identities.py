"""Truths an ablation tool must keep, whatever the model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import engine
from engine.model.worker import finished
from engine.passes import forward
from engine.passes.prepare import prepare
from tests.support.reference import Change, Reference
from tests.support.some import some
from tests.support.tiny_models import HEADS, LAYERS, Tiny

KINDS = ("gpt2", "llama", "gemma2", "gptj")
PROMPT = "t1 t5 t9 t2 t7"
EVERY = " ".join([f"a{i} m{i}" for i in range(LAYERS)])


@pytest.fixture(params=KINDS)
def directory(request: pytest.FixtureRequest, tiny: Tiny) -> str:
    return str(tiny(request.param))


def logits(e: engine.Experiment) -> np.ndarray:
    return engine.activations(e, []).ablated_logits


def close(a: Any, b: Any, atol: Any = 1e-5) -> None:
    np.testing.assert_allclose(a, b, atol=atol, rtol=0)


def in_worker(directory: str, work: Any) -> Any:
    loaded = engine.load(directory)
    return loaded.worker.run(lambda: work(loaded))


def edits_of(loaded: Any, e: Any, tokens: Any) -> Any:
    return finished(prepare(loaded, e, tokens)).edits(len(tokens))


def test_no_ablation_equals_the_plain_model(directory: str) -> None:
    e = engine.Experiment(directory, PROMPT)
    plain = Reference(directory).logits(engine.tokenize(directory, PROMPT).ids)
    close(logits(e), plain.numpy(), 1e-4)


def test_resampling_from_the_same_prompt_changes_nothing(directory: str) -> None:
    e = engine.Experiment(directory, PROMPT, PROMPT, ablations=EVERY, method="resample")
    close(logits(e), logits(e.clean))


def test_scaling_by_one_changes_nothing_and_by_zero_is_zero(directory: str) -> None:
    e = engine.Experiment(directory, PROMPT, ablations="1.2 m0 n2.3")
    close(logits(replace(e, method="scale(1)")), logits(e.clean))
    close(logits(replace(e, method="scale(0)")), logits(e), 0)
    close(logits(replace(e, method="set(0)")), logits(e), 0)


@pytest.mark.parametrize("positions", ["all", "generated"])
def test_a_method_without_values_past_the_prompt_says_so(directory: str, positions: str) -> None:
    e = engine.Experiment(
        directory, PROMPT, corrupted="t2 t4 t6 t8 t1", answer=" t3 t4", ablations="a0",
        method="resample", positions=positions,
    )  # fmt: skip
    found = engine.next_token(e)
    assert any("for the prompt's tokens only" in note for note in found.notes)
    assert found.ablated_sites == (0 if positions == "generated" else HEADS)
    assert (found.kl == 0) == (positions == "generated")


def test_keeping_everything_is_the_clean_run(directory: str) -> None:
    kept = engine.ablations(f"keep+mlps {EVERY}")
    e = engine.Experiment(directory, PROMPT, ablations=kept)
    close(logits(e), logits(e.clean))


def test_keep_is_the_complement_of_ablate(directory: str) -> None:
    kept = engine.Experiment(directory, PROMPT, ablations="keep+mlps a0 1.1 m2")
    others = " ".join(["m0 m1 a2", *(f"1.{h}" for h in range(HEADS) if h != 1)])
    close(logits(kept), logits(replace(kept, ablations=others)))


@pytest.mark.parametrize("position", range(6))
def test_ablating_a_position_leaves_earlier_ones_alone(directory: str, position: int) -> None:
    e = engine.Experiment(directory, PROMPT, ablations=EVERY, positions=str(position))
    close(logits(e)[:position], logits(e.clean)[:position])
    assert np.abs(logits(e) - logits(e.clean))[position:].max() > 1e-3


def test_mean_by_position_over_the_prompt_itself_changes_nothing(directory: str) -> None:
    e = engine.Experiment(
        directory, PROMPT, ablations=EVERY, method="mean_by_position", references=[PROMPT] * 3
    )
    close(logits(e), logits(e.clean))


def test_zeroing_every_site_leaves_the_embedding_and_the_biases(directory: str) -> None:
    """With every head and MLP at zero, the residual is the embedding and output-projection biases;
    the last layer's residual is then the same at every depth but for those biases."""
    e = engine.Experiment(directory, PROMPT, ablations=EVERY)
    found = engine.activations(e, [("resid_pre", 0), ("resid_post", LAYERS - 1)])
    ref = Reference(directory)
    added = np.zeros(found.ablated["resid_pre", 0].shape[-1])
    for layer in ref.layers if ref.hf.config.model_type == "gpt2" else ():
        added = added + layer.attn.c_proj.bias.detach().numpy()
    close(found.ablated["resid_post", LAYERS - 1], found.ablated["resid_pre", 0] + added)


def test_a_batch_equals_one_at_a_time_and_rows_never_touch(directory: str) -> None:
    texts = [PROMPT, "t3 t4", "t9 t9 t9 t9 t9", "t1"]
    sites = ["", "0.1", "1.2 m2", "a2", "m0 n1.4", "2.3"]

    def work(loaded: Any) -> None:
        rows = []
        for text in texts:
            tokens = loaded.tokenizer.encode(text)
            for named in sites:
                e = engine.Experiment(directory, text, ablations=named)
                edits = edits_of(loaded, e, tokens)
                rows.append(forward.Row(tokens.ids, edits, (0, len(tokens) - 1)))
        together = forward.run(loaded, rows)
        for row, result in zip(rows, together, strict=True):
            loaded.store.clear()
            torch.testing.assert_close(
                forward.run(loaded, [row])[0].logits, result.logits, atol=1e-5, rtol=0
            )
        fewer = forward.run(loaded, rows[::5])
        for one, other in zip(fewer, together[::5], strict=True):
            torch.testing.assert_close(one.logits, other.logits, atol=1e-5, rtol=0)

    in_worker(directory, work)


def test_joining_late_equals_joining_at_the_first_layer(directory: str) -> None:
    def work(loaded: Any) -> None:
        tokens = loaded.tokenizer.encode(PROMPT)
        e = engine.Experiment(directory, PROMPT, ablations="2.1")
        edits = edits_of(loaded, e, tokens)
        late = forward.Row(tokens.ids, edits, (0, 3))
        early = replace(late, captures=frozenset({("resid_pre", 0)}))
        one, other = forward.run(loaded, [late, early])
        torch.testing.assert_close(one.logits, other.logits, atol=1e-5, rtol=0)

    in_worker(directory, work)


def test_small_chunks_change_nothing(directory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    e = engine.Experiment(directory, PROMPT, ablations="1.2 m2", answer="t3", distractor="t4 t5")
    whole = engine.next_token(e)
    monkeypatch.setattr(forward, "CHUNK_BYTES", 1)
    cut = engine.next_token(e)
    close(whole.ablated.logits, cut.ablated.logits)
    assert whole.ablated.ids.tolist() == cut.ablated.ids.tolist()


def test_running_out_of_memory_halves_the_pass_and_changes_nothing(
    directory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(loaded: Any) -> None:
        tokens = loaded.tokenizer.encode(PROMPT)
        rows = [
            forward.Row(
                tokens.ids,
                edits_of(
                    loaded,
                    engine.Experiment(directory, PROMPT, ablations=f"1.{h} m{layer}"),
                    tokens,
                ),
                (2,),
            )
            for h in range(HEADS)
            for layer in range(LAYERS)
        ]
        whole = forward.run(loaded, rows)
        real_pass = forward._pass

        def small_pass(which: Any, part: Any) -> Any:
            if len(part) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory (pretended)")
            return real_pass(which, part)

        monkeypatch.setattr(forward, "_pass", small_pass)
        for one, other in zip(whole, forward.run(loaded, rows), strict=True):
            torch.testing.assert_close(one.logits, other.logits, atol=1e-5, rtol=0)
        monkeypatch.setattr(
            forward,
            "_pass",
            lambda *_: (_ for _ in ()).throw(
                torch.OutOfMemoryError("CUDA out of memory (pretended)")
            ),
        )
        with pytest.raises(engine.EngineError, match="does not fit in the memory"):
            forward.run(loaded, rows[:1])

    in_worker(directory, work)


def test_an_answer_is_scored_as_the_model_would_be_teacher_forced(directory: str) -> None:
    e = engine.Experiment(
        directory,
        PROMPT,
        answer="t3 t4 t5",
        distractor="t3 t8",
        ablations="0.1 m1",
        positions="all",
    )
    found, ref = engine.next_token(e), Reference(directory)
    prompt = engine.tokenize(directory, PROMPT).ids
    everywhere = tuple(range(len(prompt) + 2))
    answer, distractor = some(found.answer), some(found.distractor)
    for candidate in (answer, distractor):
        ids = prompt + candidate.ids
        changes = [
            Change("head", 0, 1, everywhere[: len(ids) - 1], torch.zeros_like),
            Change("mlp", 1, 0, everywhere[: len(ids) - 1], torch.zeros_like),
        ]
        for score, own in ((candidate.clean, ()), (candidate.ablated, changes)):
            log_probs = ref.logits(ids[:-1], own).log_softmax(-1)
            expected = [
                float(log_probs[len(prompt) - 1 + i, t]) for i, t in enumerate(candidate.ids)
            ]
            close(score.log_probs, expected, 1e-4)
            assert score.log_prob == pytest.approx(sum(expected), abs=3e-4)
    assert found.clean_logit_diff == pytest.approx(
        float(
            ref.logits(prompt + answer.ids[:1])[-1]
            @ torch.nn.functional.one_hot(torch.tensor(answer.ids[1]), 64).float()
            - ref.logits(prompt + answer.ids[:1])[-1][distractor.ids[1]]
        ),
        abs=1e-4,
    )
    assert any("both begin with ␣t3" in note for note in found.notes)


def test_no_hook_outlives_its_pass_not_even_one_that_failed(directory: str) -> None:
    def hooks(loaded: Any) -> Any:
        parts = list(loaded.hf.modules())
        assert not any("forward" in m.__dict__ for m in parts)
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in parts)

    def work(loaded: Any) -> None:
        tokens = loaded.tokenizer.encode(PROMPT)
        e = engine.Experiment(directory, PROMPT, ablations="1.2 m2 n0.1")
        row = forward.Row(tokens.ids, edits_of(loaded, e, tokens), (1,))
        forward.run(loaded, [row])
        before = hooks(loaded)
        forward.run(loaded, [row])
        assert hooks(loaded) == before
        broken = replace(row, edits=(replace(row.edits[0], value=torch.zeros(7, 7, 7)),))
        with pytest.raises(Exception):  # noqa: B017 — whatever it is, the hooks must be gone
            forward.run(loaded, [broken])
        assert hooks(loaded) == before

    in_worker(directory, work)


def test_a_ranking_is_cut_without_changing_what_is_left(directory: str) -> None:
    e = engine.Experiment(directory, PROMPT, ablations="a1", answer="t3")
    whole, cut = engine.next_token(e), engine.next_token(e, k=4)
    assert cut.ablated.ids.tolist() == whole.ablated.ids.tolist()[:4]
    assert cut.ablated.ranks.tolist() == [1, 2, 3, 4]
    close(cut.ablated.probs, whole.ablated.probs[:4])
    assert whole.clean.probs.sum() == pytest.approx(1, abs=1e-5)
    clean_rank = dict(zip(whole.clean.ids.tolist(), whole.clean.ranks.tolist(), strict=True))
    for i, token_id in enumerate(whole.ablated.ids.tolist()):
        assert whole.ablated.moves[i] == clean_rank[token_id] - whole.ablated.ranks[i]
    answer = some(cut.answer)
    assert cut.ablated_marked.ids.tolist() == [answer.ids[0]]
    assert cut.ablated_marked.ranks[0] == answer.ablated.rank


def test_a_pass_without_logits_ends_with_the_last_layer_that_is_asked_for(directory: str) -> None:
    def work(loaded: Any) -> None:
        ids = loaded.tokenizer.encode(PROMPT).ids
        captures = frozenset({("z", 0), ("resid_post", 1)})
        whole = forward.Row(ids, logits_at=(1,), captures=captures)
        cut = replace(whole, logits_at=())
        ran = []
        expected = forward.run(loaded, [whole])[0].captured
        handle = loaded.unembed.register_forward_pre_hook(lambda _m, args: ran.append(args))
        with loaded.hooked("z", LAYERS - 1, len(ids), ran.append):
            found = forward.run(loaded, [cut])[0].captured
        handle.remove()
        assert len(ran) == 1  # the unembedding of a single position, and nothing of the last layer
        assert set(found) == set(expected)
        for at, value in found.items():
            torch.testing.assert_close(value, expected[at], atol=0, rtol=0)

    in_worker(directory, work)
