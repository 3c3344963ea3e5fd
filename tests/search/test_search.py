"""The search for a circuit: against a plain loop on the Hugging Face model, resumed, and honest."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

import engine
from engine.model.worker import Steps
from engine.passes.blockwise import Blocks
from engine.scoring.prompts import read_prompts
from engine.search import pruned_run
from engine.tasks.pairs import experiments
from tests.circuits.test_circuits import solved, task
from tests.passes.test_ablation_against_hugging_face import ids_of
from tests.support.alone import started
from tests.support.noting import noting
from tests.support.parts import every_part
from tests.support.reference import Change, Reference, always
from tests.support.some import some
from tests.support.tiny_models import CONFIGS, HEADS, LAYERS, Tiny

SITES = [f"{i}.{h}" for i in range(LAYERS) for h in range(HEADS)]


class Plain:
    """Scores of a task with sites ablated by position means, from plain hooks, one at a time."""

    def __init__(self, directory: str, asked: engine.Task) -> None:
        self.ref = Reference(directory)

        def last(text: str) -> int:
            return ids_of(directory, text)[-1]

        self.pairs: list[tuple[tuple[int, ...], int, int]] = [
            (ids_of(directory, p.prompt), last(p.answer), last(p.distractor)) for p in asked.pairs
        ]
        corrupted = [ids_of(directory, p.corrupted) for p in asked.pairs]
        self.n = len(corrupted[0])
        self.means = {
            site: torch.stack([self.ref.value(*site, ids) for ids in corrupted]).mean(0)
            for site in self.every(mlps=True)
        }
        self.clean = [self.ref.logits(ids)[-1].double() for ids, _, _ in self.pairs]
        self.seen: list[tuple[str, float]] = []

    @staticmethod
    def every(mlps: bool) -> list[tuple[str, int, int]]:
        found = []
        for layer in range(LAYERS):
            found += [("head", layer, h) for h in range(HEADS)]
            found += [("mlp", layer, 0)] if mlps else []
        return found

    def score(self, removed: set[tuple[tuple[str, int, int], int | None]], metric: str) -> float:
        """`removed`: of (site, position), position None for all."""
        scores, changes = [], []
        for site, position in removed:
            where = tuple(range(self.n)) if position is None else (position,)
            changes.append(Change(*site, where, always(self.means[site][list(where)])))
        every = self.ref.each_logits([(ids, changes) for ids, _, _ in self.pairs])[:, -1].double()
        for (_, answer, distractor), clean, logits in zip(
            self.pairs, self.clean, every, strict=True
        ):
            log_p, log_q = clean.log_softmax(-1), logits.log_softmax(-1)
            match metric:
                case "logit_diff":
                    scores.append(float(logits[answer] - logits[distractor]))
                case "prob":
                    scores.append(float(log_q[answer].exp()))
                case "accuracy":
                    scores.append(float((logits > logits[answer]).sum() == 0))
                case "kl":
                    scores.append(float((log_p.exp() * (log_p - log_q)).sum()))
        return float(np.mean(scores))


def name(site: tuple[str, int, int], position: int | None = None) -> str:
    own = f"{site[1]}.{site[2]}" if site[0] == "head" else f"m{site[1]}"
    return own if position is None else f"{own}@{position}"


def joined_one_by_one(edges: engine.EdgeAttribution) -> dict[engine.Site, float]:
    """For each node the size of the edge that first joins it to the input and to the logits: edges
    added one at a time, and the whole graph walked anew each time."""
    shared = edges.shape.n_heads // edges.shape.n_key_value_heads
    order = np.argsort(-np.nan_to_num(np.abs(edges.score), nan=-1), axis=None, kind="stable")
    result: dict[engine.Site, float] = {}
    into: dict[engine.Site, set[Any]] = {}
    for flat in order[: edges.n_edges]:
        i, j = np.unravel_index(flat, edges.score.shape)
        sender, receiver = edges.senders[i], edges.receivers[j]
        readers: list[Any] = ["logits"]
        if receiver.part == "mlp":
            readers = [engine.MLP(some(receiver.layer))]
        elif receiver.layer is not None:
            width = shared if receiver.part in ("k", "v") else 1
            readers = [engine.Head(receiver.layer, some(receiver.head) + h) for h in range(width)]
        into.setdefault(sender, set()).update(readers)
        forward = reached(into, edges.senders[0])
        for node in edges.senders[1:]:
            if node not in result and node in forward and "logits" in reached(into, node):
                result[node] = float(abs(edges.score[i, j]))
    return result


def reached(into: dict[engine.Site, set[Any]], start: Any) -> set[Any]:
    result: set[Any] = set()
    left = [start]
    while left:
        for reader in into.get(left.pop(), set()) - result:
            result.add(reader)
            left.append(reader)
    return result


def pruned(plain: Plain, search: engine.Search) -> list[tuple[str, float, bool]]:
    """Iterative pruning as it is published: one candidate after the other, a whole run each."""
    places = range(plain.n) if search.per_position else (None,)
    left = [(site, p) for site in plain.every(search.mlps) for p in places]
    removed: set = set()
    clean = plain.score(set(), search.metric)
    backward, tried = search.direction == "backward", []
    while True:
        before = len(removed)
        for layer in reversed(range(LAYERS)) if backward else range(LAYERS):
            for node in [n for n in left if n[0][1] == layer]:
                score = plain.score(removed | {node}, search.metric)
                loss = score if search.metric == "kl" else 1 - score / clean
                if loss < search.threshold:
                    removed.add(node)
                    left.remove(node)
                tried.append((name(*node), score, loss < search.threshold))
        backward = not backward
        if len(removed) == before:
            return tried


def agrees(found: engine.Discovery, tried: list[tuple[str, float, bool]]) -> None:
    assert [str(t.node) for t in found.trials] == [name for name, _, _ in tried]
    np.testing.assert_allclose(
        [t.score for t in found.trials], [score for _, score, _ in tried], atol=1e-4
    )
    assert [t.removed for t in found.trials] == [removed for _, _, removed in tried]
    if not found.ranked:  # by gradients nodes go together
        gone = {name for name, _, removed in tried if removed}
        assert {str(node) for node in found.nodes} == {name for name, _, _ in tried} - gone


def searched(search: engine.Search, **options: Any) -> engine.Discovery:
    return engine.begin(engine.Discover(search, **options)).result()


@pytest.mark.parametrize("kind", CONFIGS)
def test_pruning_is_the_plain_loop_candidate_by_candidate(kind: str, tiny: Tiny) -> None:
    directory = str(tiny(kind))
    asked = solved(directory)
    plain = Plain(directory, asked)
    search = engine.Search(directory, asked, threshold=0.5)
    found = searched(search, controls=3)
    tried = pruned(plain, search)
    agrees(found, tried)
    assert found.clean == pytest.approx(plain.score(set(), "logit_diff"), abs=1e-4)
    assert found.done and found.circuit.threshold == 0.5 and found.circuit.n == len(asked.pairs)
    (again,) = (engine.evaluate(found.circuit, asked, 0, minimality=False),)
    assert found.kept == pytest.approx(again.kept.mean_logit_diff, abs=1e-4)


@pytest.mark.parametrize(
    "rule",
    [
        {"metric": "prob", "threshold": 0.3},
        {"metric": "kl", "threshold": 0.4},
        {"direction": "forward"},
        {"mlps": False, "threshold": 0.6},
        {"per_position": True, "threshold": 0.3},
    ],
    ids=str,
)
def test_every_rule_is_that_of_the_plain_loop(rule: dict[str, Any], tiny: Tiny) -> None:
    directory = str(tiny("llama"))
    asked = solved(directory)
    search = engine.Search(directory, asked, **{"threshold": 0.5, **rule})
    agrees(searched(search, controls=0), pruned(Plain(directory, asked), search))


def test_accuracy_may_be_what_holds(tiny: Tiny) -> None:
    """Of answers that the model gives first."""
    directory = str(tiny("gpt2"))
    pairs = []
    for pair in task(6).pairs:
        ranked = engine.next_token(engine.Experiment(directory, pair.prompt), k=2).clean.tokens
        pairs.append(replace(pair, answer=ranked[0].strip(), distractor=ranked[1].strip()))
    asked = engine.Task("first", tuple(pairs))
    search = engine.Search(directory, asked, metric="accuracy", threshold=0.4)
    found = searched(search, controls=0)
    assert found.clean == 1
    agrees(found, pruned(Plain(directory, asked), search))


def test_greedy_lets_the_cheapest_go_and_then_looks_again(tiny: Tiny) -> None:
    directory = str(tiny("gpt2"))
    asked = solved(directory)
    plain = Plain(directory, asked)
    found = searched(engine.Search(directory, asked, by="greedy", threshold=0.4), controls=0)
    left: list[Any] = [(site, None) for site in plain.every(True)]
    removed: set[Any] = set()
    clean, tried = plain.score(set(), "logit_diff"), []
    while left:
        scores = [plain.score(removed | {node}, "logit_diff") for node in left]
        best = int(np.argmax(scores))
        goes = 1 - scores[best] / clean < 0.4
        tried += [(name(*n), s, goes and i == best) for i, (n, s) in
                  enumerate(zip(left, scores, strict=True))]  # fmt: skip
        if not goes:
            break
        removed.add(left.pop(best))
    agrees(found, tried)


def test_the_gradient_tries_the_least_estimated_effect_first(tiny: Tiny) -> None:
    directory = str(tiny("gpt2"))
    asked = solved(directory)
    plain = Plain(directory, asked)
    found = searched(engine.Search(directory, asked, by="gradient", threshold=0.4), controls=0)
    e = engine.Experiment(directory, method="mean_by_position")
    guess = some(engine.sweep(e, asked.pairs, estimate=True).estimate)
    heads, mlps = (abs(one.mean(0)) for one in (guess.heads, guess.mlps))
    effect = {s: heads[s[1], s[2]] if s[0] == "head" else mlps[s[1]] for s in plain.every(True)}
    tried, clean = [], plain.score(set(), "logit_diff")
    removed: set[Any] = set()
    for site in sorted(effect, key=effect.__getitem__):
        score = plain.score(removed | {(site, None)}, "logit_diff")
        goes = 1 - score / clean < 0.4
        tried.append((name(site), score, goes))
        if goes:
            removed.add((site, None))
    agrees(found, tried)


@pytest.mark.parametrize("by", ["nap-ig", "eap-ig"])
@pytest.mark.parametrize("kind", ["gpt2", "llama", "gptj"])
def test_the_first_by_gradients_are_kept_and_all_others_go_together(
    by: str, kind: str, tiny: Tiny
) -> None:
    directory = str(tiny(kind))
    asked = solved(directory)
    plain = Plain(directory, asked)
    search = engine.Search(directory, asked, by=by, threshold=0.4, steps=3)
    found = searched(search, controls=0)
    nodes = [str(node) for node, _ in found.ranked]
    numbers = {str(node): number for node, number in found.ranked}
    e = engine.Experiment(directory)
    if by == "nap-ig":
        grid = engine.node_attribution(e, asked.pairs, steps=3).grid()
        meant = {str(site): abs(grid[site]) for site in grid.sites}
    else:
        meant = {
            str(s): v
            for s, v in joined_one_by_one(engine.edge_attribution(e, asked.pairs, steps=3)).items()
        }
    assert numbers == pytest.approx(meant) and [*numbers.values()] == sorted(numbers.values())
    named = {name(site): site for site in plain.every(True)}
    clean, held = plain.score(set(), "logit_diff"), []
    for trial in found.trials:
        assert trial.left is not None
        gone = nodes[: len(nodes) - trial.left]
        assert gone[-1] == str(trial.node)
        score = plain.score({(named[node], None) for node in gone}, "logit_diff")
        assert trial.score == pytest.approx(score, abs=1e-4)
        assert trial.removed == (1 - score / clean < 0.4)
        held += [trial.left] * trial.removed
    assert [str(node) for node in found.nodes] == nodes[len(nodes) - min([*held, len(nodes)]) :]
    assert np.isnan(found.heads).all() and {*found.table()[0]} >= {"left", "removed"}


@pytest.mark.parametrize("by", engine.STRATEGIES)
def test_prompts_of_several_lengths_and_small_steps_change_nothing(
    by: str, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = str(tiny("gemma2"))
    short = replace(task(3, seed=4), name="short")
    pairs = [replace(p, prompt=p.prompt[: p.prompt.rindex(" ")],
                     corrupted=p.corrupted[: p.corrupted.rindex(" ")])
             for p in short.pairs]  # fmt: skip
    diffs = engine.score_task(directory, engine.Task("s", tuple(pairs))).clean.logit_diff
    pairs = [p if d > 0 else replace(p, answer=p.distractor, distractor=p.answer)
             for p, d in zip(pairs, diffs, strict=True)]  # fmt: skip
    asked = engine.Task("mixed", (*solved(directory).pairs, *pairs))
    search = engine.Search(directory, asked, by=by, method="mean", threshold=0.4)
    whole = searched(search, controls=0)
    monkeypatch.setattr(pruned_run, "_FEW_TOKENS", 1_000)
    wide = searched(search, controls=0)
    monkeypatch.setattr(pruned_run, "WAVE_BYTES", 1)
    monkeypatch.setattr(pruned_run, "_FEW_TOKENS", 0)
    monkeypatch.setattr("engine.passes.pace._FIRST", 1.0)
    monkeypatch.setattr("engine.passes.pace._LEAST", 1.0)
    monkeypatch.setattr("engine.passes.pace.STEP_SECONDS", 0.0)
    for other in (wide, searched(search, controls=0)):
        agrees(other, [(str(t.node), t.score, t.removed) for t in whole.trials])


def test_a_walk_costs_half_a_pass_a_node(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = str(tiny("gpt2"))
    asked = solved(directory)
    calls: list[int] = []
    monkeypatch.setattr(
        Blocks,
        "call",
        noting(calls, lambda self, layer, hidden, *_, **__: len(hidden), Blocks.call),
    )
    calls.clear()
    monkeypatch.setattr(pruned_run, "_FEW_TOKENS", 0)  # nothing asked in vain
    found = searched(engine.Search(directory, asked, threshold=0.5), controls=0)
    a_pass = LAYERS * len(asked.pairs)
    half = (LAYERS + 1) / (2 * LAYERS)
    runs_anew = 1 + found.walk  # the whole model, then at most once a walk
    assert sum(calls) / a_pass <= half * len(found.trials) + runs_anew


def test_snapshots_grow_and_tell_how_far_the_walk_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.search.discover._SHOW_SECONDS", 0.0)
    asked = engine.task("numerals", "seq-gpt2", 6)
    search = engine.Search("seq-gpt2", asked, threshold=0.2)
    going = every_part(engine.Discover(search, controls=3))
    seen = list(going)
    assert len(seen) > 20 and seen[-1].done and not seen[0].done
    last = seen[-1]
    for before, after in itertools.pairwise(seen):
        assert len(before.trials) <= len(after.trials)
        assert 0 <= before.progress <= 1 and before.walk <= after.walk
        assert set(after.nodes) <= set(before.nodes)
    assert {s.direction for s in seen} == {"backward", "forward"}
    tried = {str(t.node): t.score for t in last.trials}
    for layer in range(6):
        for head in range(8):
            assert last.heads[layer, head] == tried[f"{layer}.{head}"]
        assert last.mlps[layer] == tried[f"m{layer}"]
    assert (last.heads_kept.sum(), last.mlps_kept.sum()) == (
        len(last.circuit.heads), len(last.circuit.mlps)
    )  # fmt: skip
    assert engine.Circuit.from_json(last.circuit.to_json()) == last.circuit
    assert "6 reference" not in last.verdict and last.references == asked.references


def test_it_is_called_off_and_goes_on_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.search.discover._SHOW_SECONDS", 0.0)
    search = engine.Search("seq-gpt2", engine.task("months", "seq-gpt2", 6), threshold=0.2)
    whole = searched(search, controls=2)
    file = tmp_path / "deeper" / "search.json"
    going = every_part(engine.Discover(search, controls=2, save=str(file)))
    for found in going:
        if len(found.trials) > 40:
            break
    going.cancel()
    for _ in range(100):  # the worker writes it when it comes to it
        if file.exists() and len(json.loads(file.read_text("utf-8"))["scores"]) > 40:
            break
        time.sleep(0.05)
    saved = json.loads(file.read_text("utf-8"))
    assert 40 < len(saved["scores"]) < len(whole.trials)
    asked: list[int] = []
    real = pruned_run.PrunedRun.score

    def counted(self: Any, removed: Any, nodes: Any) -> Any:
        asked.append(len(nodes))
        return real(self, removed, nodes)

    monkeypatch.setattr(pruned_run.PrunedRun, "score", counted)
    again = searched(search, controls=2, save=str(file))
    agrees(again, [(str(t.node), t.score, t.removed) for t in whole.trials])
    assert again.circuit == whole.circuit
    assert len(asked) <= len(whole.trials) - len(saved["scores"])
    asked.clear()
    assert searched(search, controls=2, save=str(file)).circuit == whole.circuit and not asked


@pytest.mark.parametrize("by", engine.STRATEGIES)
def test_what_a_kill_leaves_goes_on_to_the_same_end(by: str, tmp_path: Path) -> None:
    few = by in ("nap-ig", "eap-ig")  # trials there are, of many nodes each
    enough, rest = (2, 0.3) if few else (20, 0.02)
    file = tmp_path / "search.json"
    code = (
        "import engine, engine.search.discover as s; s._SAVE_SECONDS = 0.0\n"
        "from engine.search import pruned_run; real = pruned_run.PrunedRun.score\n"
        "def slow(self, *a):\n"
        f"    import time; time.sleep({rest})\n"
        "    return (yield from real(self, *a))\n"
        "pruned_run.PrunedRun.score = slow\n"
        "t = engine.task('numerals', 'seq-gpt2', 6)\n"
        f"engine.discover(t, by={by!r}, controls=2, save={str(file)!r})\n"
    )
    process = started(code)
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until and process.is_alive():
            if file.exists() and len(json.loads(file.read_text("utf-8"))["scores"]) > enough:
                break
            time.sleep(0.01)
        assert process.is_alive(), "it was over before it could be killed"
    finally:
        process.kill()
        process.join()
    left = json.loads(file.read_text("utf-8"))
    search = engine.Search("seq-gpt2", engine.task("numerals", "seq-gpt2", 6), by=by)
    whole = searched(search, controls=2)
    assert enough < len(left["scores"]) < len(whole.trials)
    again = searched(search, controls=2, save=str(file))
    agrees(again, [(str(t.node), t.score, t.removed) for t in whole.trials])
    assert again.nodes == whole.nodes and again.ranked == whole.ranked


@pytest.mark.parametrize("kind", ["gpt2", "llama", "gemma2"])
@pytest.mark.parametrize("seed", range(4))
def test_on_random_weights_nothing_beats_its_controls(
    kind: str, seed: int, tiny: Tiny, tmp_path: Path
) -> None:
    """Even where answers are named so that the model seems to do the task it is searched on."""
    directory = str(tiny(kind))
    asked, fresh = task(12, seed), task(12, seed + 100)
    diffs = engine.score_task(directory, asked).clean.logit_diff
    pairs = [p if d > 0 else replace(p, answer=p.distractor, distractor=p.answer)
             for p, d in zip(asked.pairs, diffs, strict=True)]  # fmt: skip
    found = engine.discover(engine.Task("words", tuple(pairs)), directory, fresh=fresh)
    assert found.fresh and not found.beats_controls
    assert found.verdict.startswith("Nothing beats its controls")


def test_a_circuit_of_a_trained_model_beats_its_controls_on_fresh_pairs() -> None:
    asked = engine.task("numerals", "seq-gpt2", 12)
    fresh = engine.fresh_task(asked)
    assert fresh is not None and fresh.n_tokens == asked.n_tokens
    assert not {p.prompt for p in fresh.pairs} & {p.prompt for p in asked.pairs}
    found = engine.discover(asked, by="greedy", fresh=fresh)
    assert found.beats_controls and "it beats 100%" in found.verdict
    same = engine.discover(asked, by="gradient")
    assert same.beats_controls is None and "very pairs it was found on" in same.verdict
    controls = some(some(same.evaluation).controls)
    assert controls.seed == 0 and len(controls.sites) == 20


def test_a_family_without_other_prompts_has_no_fresh_pairs() -> None:
    assert engine.fresh_task(engine.Task("own", task().pairs)) is None
    every = engine.task("months", "seq-gpt2", 12)
    fresh = engine.fresh_task(every)
    assert fresh is None or not {p.prompt for p in fresh.pairs} & {p.prompt for p in every.pairs}


def test_an_empty_circuit_is_told(tiny: Tiny) -> None:
    directory = str(tiny("gpt2"))
    asked = solved(directory)
    found = searched(engine.Search(directory, asked, metric="kl", threshold=1e6), controls=2)
    assert not found.nodes and not found.circuit.sites and some(found.evaluation).controls is None
    assert "no circuit is needed" in found.verdict


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda m, t: engine.Search(m, t, by="magic"), "has no by “magic”; there are pruning"),
        (lambda m, t: engine.Search(m, t, metric="rank"), "has no metric “rank”"),
        (lambda m, t: engine.Search(m, t, direction="up"), "has no direction “up”"),
        (lambda m, t: engine.Search(m, t, threshold=1.0), "threshold is 1.0"),
        (lambda m, t: engine.Search(m, t, threshold=float("nan")), "threshold is nan"),
        (lambda m, t: engine.Search(m, t, method="zeros"), "not a method"),
        (lambda m, t: engine.Search(m, t, by="nap-ig", steps=0), "1 to 1,000 steps, not 0"),
        (lambda m, t: engine.Search(m, t, by="nap-ig", per_position=True), "over all positions"),
        (lambda m, t: engine.Search(m, t, by="eap-ig", per_position=True), "over all positions"),
        (lambda m, t: engine.discover(t), "Name the model"),
    ],
)
def test_what_is_no_search_is_told(make: Any, told: str) -> None:
    with pytest.raises(engine.EngineError, match=told):
        make("seq-gpt2", task())


def test_what_cannot_be_searched_is_told(tiny: Tiny) -> None:
    directory = str(tiny("gpt2"))
    asked = solved(directory)
    swapped = [replace(p, answer=p.distractor, distractor=p.answer) for p in asked.pairs]
    with pytest.raises(engine.EngineError, match="whole model does not do “words”"):
        engine.discover(engine.Task("words", tuple(swapped)), directory)
    bare = engine.Task("words", tuple(replace(p, distractor="") for p in asked.pairs))
    with pytest.raises(engine.EngineError, match="Pair 1 of “words” has no logit difference"):
        engine.discover(bare, directory)
    assert engine.discover(bare, directory, metric="kl", threshold=0.5).unevaluated
    with pytest.raises(engine.EngineError, match="has no answer"):
        engine.discover(engine.Task("w", (engine.Pair("t1 t2", "t3 t4"),)), directory)
    short = engine.Task("w", (*asked.pairs, engine.Pair("t1 t2", "t3 t4", "t5", "t6")))
    with pytest.raises(engine.EngineError, match="tokens long"):
        engine.discover(short, directory)
    alone = engine.Task("w", tuple(replace(p, corrupted="") for p in asked.pairs))
    other = engine.Task("w", tuple(replace(p, corrupted="t1") for p in asked.pairs))
    for by in ("nap-ig", "eap-ig"):
        with pytest.raises(engine.EngineError, match="has no corrupted prompt"):
            engine.discover(alone, directory, by=by, method="zero")
        with pytest.raises(engine.EngineError, match="tokens long"):
            engine.discover(other, directory, by=by, method="zero")
    with pytest.raises(engine.EngineError, match="prompts of one length"):
        engine.discover(short, directory, method="mean", per_position=True)


def test_what_is_by_itself_leaves_no_trace_in_a_searchs_name() -> None:
    """Searches saved before there were steps are still theirs."""
    pairs = (engine.Pair("1 2 3", "1 5 3", " 4", " 3"), engine.Pair("2 3 4"))
    search = engine.Search("seq-gpt2", engine.Task("mine", pairs))
    assert search.digest == "0b491b7ae6f99623068f"
    assert replace(search, by="greedy", threshold=0.3).digest == "f8858317ddbb5e9e7e6c"
    assert replace(search, steps=6).digest != search.digest


def test_mlps_that_are_no_nodes_are_not_ranked(tiny: Tiny) -> None:
    directory = str(tiny("gpt2"))
    for by in ("nap-ig", "eap-ig"):
        found = engine.discover(solved(directory), directory, by=by, mlps=False, controls=0)
        assert found.circuit.all_mlps and not any(
            s in found.importance for s in engine.parse_sites("m0-2")
        )
        assert len(found.ranked) == LAYERS * HEADS


def test_a_search_has_its_own_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWITCHBOARD_SEARCHES", "/somewhere")
    one, other = (engine.Search("seq-gpt2", task(), threshold=t) for t in (0.2, 0.3))
    assert engine.search_path(one).parent == Path("/somewhere")
    assert engine.search_path(one) != engine.search_path(other)
    assert engine.search_path(one) == engine.search_path(replace(one, threshold=0.2))


def test_random_search_orders_settle_where_the_run_is_valid(tiny: Tiny) -> None:
    """Whatever is asked after whatever, the score is that of a run from the beginning."""
    directory = str(tiny("gemma2"))
    asked = solved(directory)
    plain = Plain(directory, asked)
    model = engine.load(directory)
    each = experiments(engine.Experiment(directory, method="mean_by_position"), asked.pairs)
    rng = Random(0)
    every = plain.every(True)

    def steps() -> Steps[None]:
        prompts = yield from read_prompts(model, each, "answer", False)
        from engine.passes.pace import Pace

        one = pruned_run.PrunedRun(model, Pace(model), prompts, "logit_diff")
        yield from one.begin()
        for _ in range(25):
            removed = rng.sample(every, rng.randrange(len(every)))
            site = rng.choice([s for s in every if s not in removed])
            nodes = [engine.Node(engine.parse_sites(name(s))[0]) for s in (*removed, site)]
            (score,) = yield from one.score(frozenset(nodes[:-1]), nodes[-1:])
            meant = plain.score({(s, None) for s in (*removed, site)}, "logit_diff")
            assert score == pytest.approx(meant, abs=1e-4)

    model.worker.submit(steps()).result(120)
