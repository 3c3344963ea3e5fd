"""The sweep against plain hooks on the Hugging Face model, one site at a time, and its manners."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import engine
from engine.model.worker import Steps
from engine.passes.blockwise import Blocks
from engine.scoring import waves
from engine.scoring.metrics import STORED
from tests.passes.test_ablation_against_hugging_face import changes_of, directory_of, ids_of
from tests.support.parts import every_part
from tests.support.reference import Change, Reference
from tests.support.some import some
from tests.support.tiny_models import CONFIGS, HEADS, LAYERS, Tiny

METHODS = ("zero", "mean", "mean_by_position", "resample", "scale(0.3)", "set(0.7)")
PAIRS = (
    engine.Pair("t1 t5 t9 t2", "t2 t4 t8 t8", "t3", "t4"),
    engine.Pair("t7 t5 t3 t2", "t9 t4 t1 t8", "t30", "t6"),
)
SITES = [f"{i}.{h}" for i in range(LAYERS) for h in range(HEADS)] + [f"m{i}" for i in range(LAYERS)]


def numbers(sweep: engine.SweepResult, prompt: int, site: str) -> np.ndarray:
    """What a sweep says of one site on one prompt, in the order of STORED."""
    (one,) = engine.parse_sites(site)
    if isinstance(one, engine.MLP):
        return sweep.mlp_numbers[:, prompt, ..., one.layer]
    assert isinstance(one, engine.Head)
    return sweep.head_numbers[:, prompt, ..., one.layer, one.head]


def by_hand(
    ref: Reference,
    each: list[engine.Experiment],
    ids: tuple[int, ...],
    answer: int,
    distractor: int,
) -> list[list[float]]:
    """The stored metrics of experiments on one prompt, from plain hooks, for answers of one
    token."""
    n = len(ids)
    rows = [(ids, changes_of(e, ref, tuple(e.positions.at(n, n)))) for e in each]
    clean, *every = ref.each_logits([(ids, ()), *rows])[:, -1].double()
    log_p, found = clean.log_softmax(-1), []
    for logits in every:
        log_q = logits.log_softmax(-1)
        found.append(
            [
                float(logits[answer] - logits[distractor]),
                float(log_q[answer].exp()),
                float(log_q[answer]),
                int((logits > logits[answer]).sum()) + 1,
                float((log_p.exp() * (log_p - log_q)).sum()),
            ]
        )
    return found


def close(a: Any, b: Any, atol: Any = 1e-4) -> None:
    np.testing.assert_allclose(a, b, atol=atol, rtol=0)


def of_pair(e: engine.Experiment, pair: engine.Pair, pairs: Any = PAIRS) -> engine.Experiment:
    return replace(
        e,
        prompt=pair.prompt,
        corrupted=pair.corrupted,
        answer=pair.answer,
        distractor=pair.distractor,
        references=e.references or [p.corrupted for p in pairs],
    )


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_site_equals_plain_hooks_one_at_a_time(kind: str, tiny: Tiny) -> None:
    directory = str(tiny(kind))
    ref = Reference(directory)
    for method in METHODS if kind in ("gpt2", "gemma2", "llama") else METHODS[1:4:2]:
        e = engine.Experiment(directory, method=method)
        sweep = engine.sweep(e, PAIRS)
        assert sweep.done and sweep.n_done == len(SITES)
        for i, pair in enumerate(PAIRS):
            one = of_pair(e, pair)
            answer, distractor = (ids_of(directory, t)[-1] for t in (pair.answer, pair.distractor))
            ids = ids_of(directory, pair.prompt)
            each = [replace(one, ablations=site) for site in SITES]
            every = by_hand(ref, each, ids, answer, distractor)
            for site, meant in zip(SITES, every, strict=True):
                close(numbers(sweep, i, site), meant)


@pytest.mark.parametrize("name", ["seq-gpt2", "seq-llama"])
def test_bundled_models_too(name: str, tiny: Tiny) -> None:
    e = engine.Experiment(name, "1 2 3 4", "9 7 1 5", " 5", " 4", method="resample")
    sweep = engine.sweep(e, at="answer")
    shape = engine.load(name).shape
    rows = [f"{i}.{i % shape.n_heads}" for i in range(shape.n_layers)]
    rows += [f"m{i}" for i in range(shape.n_layers)]
    for site in rows:
        found = engine.next_token(replace(e, ablations=site), at="answer")
        close(numbers(sweep, 0, site), _stored(found))
    assert sweep.metric == "logit_diff"
    assert directory_of(name, tiny) == name


def _stored(found: engine.NextToken) -> list[float]:
    answer = some(found.answer).ablated
    diff = found.ablated_logit_diff
    return [np.nan if diff is None else diff, answer.prob, answer.log_prob, answer.rank, found.kl]


@pytest.mark.parametrize("given", ["1.2", "m1 n2.3 a0", "keep 1.1 2.2 0.3", "keep+mlps 2.1 m0"])
@pytest.mark.parametrize("method", ["zero", "scale(0.3)", "resample"])
def test_sites_are_ablated_on_top_of_what_is_given(given: str, method: str, tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("gpt2")), ablations=given, method=method)
    sweep = engine.sweep(e, PAIRS)
    kept = e.ablations.verb == "keep"
    for i, pair in enumerate(PAIRS):
        one = of_pair(e, pair)
        alone = engine.next_token(one)
        close(sweep.given_numbers[:, i], _stored(alone))
        close(sweep.clean_numbers[0, i], alone.clean_logit_diff)
        for site in SITES:
            (parsed,) = engine.parse_sites(site)
            sites = tuple(s for s in e.ablations.sites if s != parsed)
            own = replace(e.ablations, sites=sites if kept else (*sites, parsed))
            if kept and isinstance(parsed, engine.MLP) and not e.ablations.mlps:
                continue  # no experiment says “keep these heads, and without that MLP”
            close(numbers(sweep, i, site), _stored(engine.next_token(replace(one, ablations=own))))


@pytest.mark.parametrize("answers", [("t3 t4 t5", "t3 t8"), ("t3 t4", "t3"), ("t3 t4", "")])
@pytest.mark.parametrize("at", ["prompt", "answer"])
def test_answers_of_several_tokens_are_those_of_the_ranking(
    answers: tuple[str, ...], at: str, tiny: Tiny
) -> None:
    e = engine.Experiment(str(tiny("llama")), method="mean", positions="all")
    pairs = [replace(pair, answer=answers[0], distractor=answers[1]) for pair in PAIRS]
    pairs.append(replace(pairs[0], prompt="t1 t2"))
    sweep = engine.sweep(e, pairs, at=at)
    for i, pair in enumerate(pairs):
        for site in SITES:
            one = replace(of_pair(e, pair, pairs), ablations=site)
            close(numbers(sweep, i, site), _stored(engine.next_token(one, at=at)))
    assert sweep.metric == ("logit_diff" if answers[1] == "t3 t8" else "log_prob")


@pytest.mark.parametrize("positions", ["all", "1,-1"])
def test_position_by_position_each_site_acts_at_one_alone(positions: str, tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("gpt2")), method="resample", positions=positions)
    sweep = engine.sweep(e, PAIRS, per_position=True, estimate=True)
    n = len(ids_of(e.model, PAIRS[0].prompt))
    assert sweep.positions == (tuple(range(n)) if positions == "all" else (1, n - 1))
    assert sweep.heads.shape == (len(sweep.positions), LAYERS, HEADS)
    for k, position in enumerate(sweep.positions):
        for site in SITES[::3]:
            one = replace(of_pair(e, PAIRS[1]), ablations=site, positions=str(position))
            close(numbers(sweep, 1, site)[:, k], _stored(engine.next_token(one)))
    assert sweep.positions_figure().data[0].z.shape[1] == len(sweep.positions)
    assert sweep.figure(position=1).data[0].z.shape == (LAYERS, HEADS + 2)
    assert len(sweep.table()) == len(SITES) * len(sweep.positions)


def test_the_metrics_that_are_not_stored_follow_from_those_that_are(tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("gpt2")))
    sweep = engine.sweep(e, PAIRS)
    clean = sweep.values("clean", "logit_diff")
    close(sweep.values("heads", "kept"), sweep.values("heads") / clean.mean())
    close(sweep.mean("mlps", "kept"), sweep.mlps / clean.mean())
    assert sweep.wrong == tuple(np.flatnonzero(sweep.values("clean", "rank") != 1))
    close(sweep.mean("heads", "accuracy"), (sweep.values("heads", "rank") == 1).mean(0))
    close(sweep.spread("heads"), sweep.values("heads").std(0))
    close(sweep.change("heads"), sweep.heads - sweep.mean("given"))
    close(sweep.clean_numbers[STORED.index("kl")], 0)
    assert set(sweep.metrics) == set(engine.METRICS)


@pytest.mark.parametrize("kind", ["gpt2", "gptj", "gemma2", "llama", "qwen3"])
@pytest.mark.parametrize("given", ["", "1.2 m0"])
def test_the_estimate_is_the_slope_of_the_exact_change(kind: str, given: str, tiny: Tiny) -> None:
    """Near 1, scaling is a straight line: half the change of 1 + h less that of 1 − h."""
    h = 0.02
    up, down = (
        engine.sweep(
            engine.Experiment(str(tiny(kind)), ablations=given, method=f"scale({1 + s})"),
            PAIRS,
            estimate=True,
        )
        for s in (h, -h)
    )
    if given:  # the given sites are scaled by 1 ± h too, so each has its own baseline
        assert some(up.agreement).pearson > 0.99 and some(down.agreement).pearson > 0.99
        return
    for of in ("heads", "mlps"):
        slope = (up.values(of) - down.values(of)) / 2
        close(getattr(up.estimate, of), slope, 2e-3 * np.abs(slope).max() + 1e-4)
        close(getattr(up.estimate, of), -getattr(down.estimate, of))


def test_the_estimate_comes_first_and_says_how_well_it_predicts(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waves, "WAVE_BYTES", 1)
    e = engine.Experiment(str(tiny("gpt2")), method="scale(0.9)")
    model = engine.load(e.model)
    gate = threading.Event()
    held: Any = model.worker.submit(_waiting(gate))
    sweeping = every_part(engine.Sweep(e, PAIRS, estimate=True))
    gate.set()
    snapshots = list(sweeping)
    held.result(5)
    first, last = snapshots[0], snapshots[-1]
    assert first.estimate is not None and first.n_done == 0 and np.isnan(first.heads).all()
    assert np.isnan(first.agreement.pearson)
    assert last.done and last.agreement.n == len(SITES) and last.agreement.pearson > 0.98
    done = [s.n_done for s in snapshots]
    assert done == sorted(done) and len(set(done)) > 5
    progress = [s.progress for s in snapshots]
    assert progress == sorted(progress) and progress[-1] == 1.0
    assert all(s.seconds_left is not None for s in snapshots)
    for snapshot in snapshots:  # what is known once does not change
        known = np.isfinite(snapshot.head_numbers)
        assert (snapshot.head_numbers[known] == last.head_numbers[known]).all()


def _waiting(gate: threading.Event) -> Steps[None]:
    gate.wait(5)
    return None
    yield 0.0


def test_waves_and_steps_of_one_row_change_nothing(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    e = engine.Experiment(str(tiny("gemma2")), ablations="0.1", method="mean")
    pairs = [*PAIRS, replace(PAIRS[0], prompt="t1 t2 t3", answer="t9 t8")]
    whole = engine.sweep(e, pairs)
    monkeypatch.setattr(waves, "WAVE_BYTES", 1)
    monkeypatch.setattr(waves, "STREAM_BYTES", 1)
    monkeypatch.setattr("engine.passes.pace._FIRST", 1.0)
    monkeypatch.setattr("engine.passes.pace._LEAST", 1.0)
    monkeypatch.setattr("engine.passes.pace.STEP_SECONDS", 0.0)
    close(engine.sweep(e, pairs).head_numbers, whole.head_numbers, 1e-5)


def test_running_out_of_memory_halves_the_step_and_changes_nothing(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    e = engine.Experiment(str(tiny("gpt2")))
    whole = engine.sweep(e, PAIRS)
    real = Blocks.call

    def small(self: Any, layer: Any, hidden: Any, *args: Any, **kwargs: Any) -> Any:
        if len(hidden) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory (pretended)")
        return real(self, layer, hidden, *args, **kwargs)

    monkeypatch.setattr(Blocks, "call", small)
    close(engine.sweep(e, PAIRS).head_numbers, whole.head_numbers, 1e-5)

    def none(*_args: Any, **_kwargs: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory (pretended)")

    monkeypatch.setattr(Blocks, "call", none)
    with pytest.raises(engine.EngineError, match="Not even one row fits"):
        engine.sweep(e, PAIRS)


def test_another_question_gets_in_between(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waves, "WAVE_BYTES", 1)
    e = engine.Experiment(str(tiny("gpt2")), "t1 t2", answer="t3", ablations="0.1")
    engine.sweep(e, PAIRS)
    model, order = engine.load(e.model), []
    gate = threading.Event()
    held: Any = model.worker.submit(_waiting(gate))
    sweeping = engine.begin(engine.Sweep(e, PAIRS))
    sweeping.when_done(lambda: order.append("sweep"))

    def ask() -> None:
        engine.next_token(e)
        order.append("toggle")

    toggle = threading.Thread(target=ask)
    real = Blocks.call

    def asking(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not toggle.ident:
            toggle.start()
            while not any(job.priority == 0 for _, _, job in list(model.worker._queue)):
                pass
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Blocks, "call", asking)
    gate.set()
    sweeping.result()
    toggle.join(5)
    held.result(5)
    assert order == ["toggle", "sweep"]


def test_cancel_ends_it_and_leaves_no_hook(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waves, "WAVE_BYTES", 1)
    e = engine.Experiment(str(tiny("gpt2")))
    engine.sweep(e, PAIRS)
    gate, calls, real = threading.Event(), [], Blocks.call

    def stopping(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) > LAYERS:  # the clean run is over and told
            gate.wait(5)
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Blocks, "call", stopping)
    sweeping = engine.begin(engine.Sweep(e, PAIRS))
    assert next(sweeping).n_done == 0
    sweeping.cancel()
    gate.set()
    assert list(sweeping) == [] and sweeping.stopped
    assert isinstance(sweeping._run.future.exception(5), engine.Cancelled)
    model = engine.load(e.model)
    parts = model.hf.modules()
    assert not any("forward" in m.__dict__ or m._forward_pre_hooks for m in parts)
    with pytest.raises(engine.Cancelled):
        again = engine.begin(engine.Sweep(e, PAIRS), view="page")
        again.cancel()
        again.result()


@pytest.mark.parametrize(
    ("e", "pairs", "options", "told"),
    [
        ({}, (), {}, "no prompts to sweep over"),
        ({}, (engine.Pair("t1 t2"),), {}, "has no answer, and it is the answer that is scored"),
        ({}, (engine.Pair("t1", answer="zebra"),), {}, "cannot write it"),
        ({"method": "mean"}, (engine.Pair("t1", answer="t2"),), {}, "there are none"),
        (
            {"method": "mean_by_position"},
            (*PAIRS, engine.Pair("t1 t2", "t3 t4", "t5")),
            {},
            r"3 tokens long and the prompt 5; mean_by_position",
        ),
        ({"method": "resample"}, (engine.Pair("t1 t2", "t3", "t5"),), {}, "needs them equal"),
        (
            {},
            (*PAIRS, engine.Pair("t1 t2", answer="t5")),
            {"per_position": True},
            "needs prompts of one length",
        ),
        ({"positions": "generated"}, PAIRS, {"per_position": True}, "the prompt's own"),
        ({"positions": "7"}, PAIRS, {}, "Position 7 is not in the prompt"),
        ({"ablations": "9.1"}, PAIRS, {}, "layers are 0 to 2"),
        ({}, PAIRS, {"at": "end"}, "not at “end”"),
    ],
)
def test_what_cannot_be_swept_is_told_in_a_sentence(
    e: dict[str, Any], pairs: tuple[Any, ...], options: dict[str, Any], told: str, tiny: Tiny
) -> None:
    with pytest.raises(engine.EngineError, match=told):
        engine.sweep(engine.Experiment(str(tiny("gpt2")), **e), pairs, **options)


def test_figures_and_tables_show_every_metric(tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("gpt2")), ablations="0.1")
    sweep = engine.sweep(e, PAIRS, estimate=True)
    for metric in sweep.metrics:
        for show in engine.ASPECTS:
            drawn = sweep.figure(metric, show).data[0]
            assert drawn.z.shape == (LAYERS, HEADS + 2)
    drawn = sweep.figure().data[0]
    close(np.asarray(drawn.z)[:, :HEADS], sweep.change("heads"))
    close(np.asarray(drawn.z)[:, -1], sweep.change("mlps"))
    rows = sweep.table()
    assert [row["site"] for row in rows[:5]] == ["0.0", "0.1", "0.2", "0.3", "m0"]
    assert rows[1]["logit_diff_change"] == 0 and rows[1]["n"] == 2
    assert len(sweep.prompts_table()) == 2
    with pytest.raises(engine.ExperimentError, match="not “loss”"):
        sweep.figure("loss")
    with pytest.raises(engine.ExperimentError, match="not “all”"):
        sweep.figure(show="all")
    with pytest.raises(engine.ExperimentError, match="position by position"):
        sweep.positions_figure()


def test_positions_where_nothing_acts_leave_the_baseline(tiny: Tiny) -> None:
    e = engine.Experiment(str(tiny("gpt2")), positions="generated")
    sweep = engine.sweep(e, PAIRS)
    close(sweep.change("heads"), 0, 0)
    assert any("generated" in note for note in sweep.notes)


def test_one_site_by_hand_at_one_position(tiny: Tiny) -> None:
    """Said once more without the experiment: the head's z is zero at the last position."""
    directory = str(tiny("llama"))
    ref, pair = Reference(directory), PAIRS[0]
    ids = ids_of(directory, pair.prompt)
    change = Change("head", 1, 3, (len(ids) - 1,), torch.zeros_like)
    logits = ref.logits(ids, [change])[-1]
    a, d = (ids_of(directory, t)[-1] for t in (pair.answer, pair.distractor))
    e = engine.Experiment(directory, pair.prompt, "", pair.answer, pair.distractor, positions="-1")
    assert engine.sweep(e).heads[1, 3] == pytest.approx(float(logits[a] - logits[d]), abs=1e-4)
