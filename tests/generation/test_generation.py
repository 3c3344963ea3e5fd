"""Generation: cached equals uncached, clean equals Hugging Face's own, and it stops when told."""

from __future__ import annotations

import gc
import random
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

import engine
from engine import registry
from engine.generation.sampling import Sampling
from tests.conftest import real
from tests.passes.test_ablation_against_hugging_face import changes_of
from tests.support.reference import Reference
from tests.support.some import some
from tests.support.tiny_models import CONFIGS, Tiny

METHODS = ("zero", "mean", "mean_by_position", "resample", "scale(0.3)", "set(0.7)")
POSITIONS = ("all", "prompt", "generated", "1,-1")
STEPS = 7
PUBLISHED = (
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park."
)
ALL_RUNS = ("clean", "ablated", "unswitched")
FIXED = ("mean_by_position", "resample")


def drawn(rng: random.Random, kind: str, directory: str, method: str, positions: str) -> Any:
    n = rng.choice((3, 5))

    def text() -> str:
        return " ".join(f"t{rng.randrange(60)}" for _ in range(n))

    sites = ["a0", f"1.{rng.randrange(4)}", "m1", "2.0 2.3", "m2"]
    if kind != "mixtral":
        sites.append(f"n1.{rng.randrange(48)}")
    return engine.Experiment(
        directory, text(), corrupted=text(), references=[text(), text()],
        ablations=" ".join(rng.sample(sites, 2)), method=method, positions=positions,
    )  # fmt: skip


def acting_at(e: engine.Experiment, n_prompt: int, n: int, from_step: int, until_step: int) -> Any:
    """Positions that change in a text of n tokens, spelled out one by one."""
    found = []
    for p in range(n):
        step = max(0, p - n_prompt + 1)
        wanted = {
            "all": True, "prompt": p < n_prompt, "generated": p >= n_prompt,
            "indices": p in {i % n_prompt for i in e.positions.indices},
        }[e.positions.which]  # fmt: skip
        if e.method.kind.word in FIXED and p >= n_prompt:
            wanted = False
        if wanted and from_step <= step < until_step:
            found.append(p)
    return tuple(found)


def uncached(e: Any, ref: Any, steps: Any, from_step: Any = 0, until_step: Any = 10**6) -> Any:
    """Greedy ids and each step's logits, the whole text read anew for every token."""
    (found,) = each_uncached([e], ref, steps, from_step, until_step)
    return found


def each_uncached(
    asked: Any, ref: Any, steps: Any, from_step: Any = 0, until_step: Any = 10**6
) -> list[Any]:
    """The same of several experiments, of which texts of one length are read side by side."""
    found: list[Any] = [None] * len(asked)
    prompts = [list(engine.tokenize(e.model, e.prompt).ids) for e in asked]
    for n in {len(ids) for ids in prompts}:
        same = [i for i, ids in enumerate(prompts) if len(ids) == n]
        texts, seen = [list(prompts[i]) for i in same], []
        for step in range(steps):
            rows = []
            for i, ids in zip(same, texts, strict=True):
                where = acting_at(asked[i], n, n + step, from_step, until_step)
                rows.append((ids, changes_of(asked[i], ref, where) if where else ()))
            seen.append(ref.each_logits(rows)[:, -1])
            for ids, logits in zip(texts, seen[-1], strict=True):
                ids.append(int(logits.argmax()))
        for row, i in enumerate(same):
            found[i] = texts[row][n:], [logits[row] for logits in seen]
    return found


def all_of(e: Any, n: Any, **options: Any) -> Any:
    """Steps with the whole vocabulary ranked, past any end of text."""
    d_vocab = engine.load(e.model).shape.d_vocab
    return list(engine.generate(e, n, k=d_vocab, **options))


def logits_of(run: engine.StepRun) -> np.ndarray:
    return run.top.logits[np.argsort(run.top.ids)]


def agree(steps: Any, name: str, ids: Any, logits: Any) -> Any:
    """Every step is the reference's token and, to 1e-4, its logits."""
    runs = [run for step in steps if (run := getattr(step, name)) is not None]
    for i, run in enumerate(runs):
        np.testing.assert_allclose(logits_of(run), logits[i].numpy(), atol=1e-4, rtol=0)
        assert run.token_id == ids[i], (name, i)
    return len(runs)


@pytest.fixture(scope="module")
def endless(tiny: Tiny) -> Any:
    """Tiny models whose texts never end by themselves, so that every step is compared."""
    refs: dict[str, tuple[str, Reference]] = {}

    def give(kind: str) -> tuple[str, Reference]:
        if kind not in refs:
            directory = str(tiny(kind, eos_token_id=None))
            refs[kind] = directory, Reference(directory)
            assert not engine.load(directory).ends
        return refs[kind]

    return give


@pytest.mark.parametrize("kind", CONFIGS)
def test_cached_generation_equals_an_uncached_loop_for_every_method_and_position(
    kind: str, endless: Any
) -> None:
    directory, ref = endless(kind)
    rng, moved = random.Random(kind), 0
    asked = [
        drawn(rng, kind, directory, method, where) for method in METHODS for where in POSITIONS
    ]
    every = each_uncached([e.clean for e in asked] + asked, ref, STEPS)
    for e, clean, ablated in zip(asked, every[: len(asked)], every[len(asked) :], strict=True):
        steps = all_of(e, STEPS)
        assert len(steps) == STEPS
        agree(steps, "clean", *clean)
        agree(steps, "ablated", *ablated)
        moved += clean[0] != ablated[0]
    assert moved > len(METHODS), "the ablations drawn change too little to judge"


@pytest.mark.parametrize("kind", ["llama", "mistral", "gemma3_text", "gpt2"])
@pytest.mark.parametrize(("from_step", "until_step"), [(3, None), (0, 3), (2, 4), (1, 6)])
def test_an_ablation_from_or_until_a_step_equals_an_uncached_loop(
    kind: str, from_step: int, until_step: int | None, endless: Any
) -> None:
    directory, ref = endless(kind)
    rng = random.Random(from_step)
    asked = [drawn(rng, kind, directory, method, "all") for method in METHODS]
    every = each_uncached(asked, ref, STEPS, from_step, until_step or 10**6)
    for e, ablated in zip(asked, every, strict=True):
        steps = all_of(e, STEPS, from_step=from_step, until_step=until_step)
        agree(steps, "ablated", *ablated)
        assert not any(step.parted for step in steps[:from_step])


@pytest.mark.parametrize("kind", CONFIGS)
def test_unablated_it_equals_hugging_faces_own_generate(kind: str, endless: Any) -> None:
    directory, _ = endless(kind)
    hf = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
    rng = random.Random(kind)
    for n in (1, 4, 9):
        e = engine.Experiment(directory, " ".join(f"t{rng.randrange(60)}" for _ in range(n)))
        ids = torch.tensor([engine.tokenize(directory, e.prompt).ids])
        theirs = hf.generate(ids, max_new_tokens=20, do_sample=False, pad_token_id=0)[0]
        steps = list(engine.generate(e, 20))
        assert [some(s.clean).token_id for s in steps] == theirs[ids.shape[1] :].tolist()
        assert all(s.ablated == s.clean and not s.parted and s.kl == 0 for s in steps)


def test_stories260K_tells_the_published_story_from_bos() -> None:
    directory = str(real("stories260K"))
    e = engine.Experiment(directory, "", ablations="2.3 m1")
    steps = list(engine.generate(e, 80))
    assert "".join(some(s.clean).text for s in steps).strip().startswith(PUBLISHED)
    assert not "".join(some(s.ablated).text for s in steps).strip().startswith(PUBLISHED)
    ref = Reference(directory)
    agree(all_of(e, 30), "ablated", *uncached(e, ref, 30))


@pytest.mark.parametrize("kind", ["llama", "mistral", "gemma3_text", "gpt2"])
def test_going_on_from_a_prefix_equals_having_gone_there(kind: str, endless: Any) -> None:
    directory, _ = endless(kind)
    e = drawn(random.Random(1), kind, directory, "mean", "all")
    whole = all_of(e, 45)
    runs = [[getattr(s, run).token_id for s in whole] for run in ("clean", "ablated")]
    for cut in (1, 5, 40):
        again = all_of(e, 45 - cut, prefix=runs[0][:cut], ablated_prefix=runs[1][:cut])
        assert [s.clean.forced for s in again] == [True] * cut + [False] * (45 - cut)
        for run, ids in zip(("clean", "ablated"), runs, strict=True):
            agree(again, run, ids, [torch.tensor(logits_of(getattr(s, run))) for s in whole])


def test_a_head_switched_in_the_middle_goes_on_from_the_same_prefix(endless: Any) -> None:
    directory, ref = endless("llama")
    e = engine.Experiment(directory, "t4 t9 t2", ablations="m1")
    steps = all_of(e, 8, switches={3: "0.1 m2", 6: ""})
    for run, spans in (
        ("ablated", (("m1", 0, 3), ("0.1 m2", 3, 6))),
        ("unswitched", (("m1", 0, 3), ("0.1 m2", 3, 9))),
    ):
        ids = list(engine.tokenize(directory, e.prompt).ids)
        n = len(ids)
        for i, step in enumerate(steps):
            changes = [
                change
                for sites, a, b in spans
                for change in changes_of(
                    engine.Experiment(directory, e.prompt, ablations=sites), ref,
                    tuple(p for p in range(len(ids)) if a <= max(0, p - n + 1) < b),
                )
            ]  # fmt: skip
            logits = ref.logits(ids, changes)[-1]
            one = getattr(step, run)
            np.testing.assert_allclose(logits_of(one), logits.numpy(), atol=1e-4, rtol=0)
            assert one.token_id == int(logits.argmax()), i
            ids.append(one.token_id)


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_text_without_the_switch_goes_on_beside_the_one_with_it(
    kind: str, endless: Any
) -> None:
    directory, _ = endless(kind)
    e = engine.Experiment(directory, "t4 t9 t2", ablations="m1 a0")
    steps = all_of(e, 9, switches={4: "m2 1.0"})
    alone = all_of(e, 9)
    for step, own in zip(steps, alone, strict=True):
        for run, other in (("clean", "clean"), ("unswitched", "ablated")):
            one, meant = getattr(step, run), getattr(own, other)
            assert one.token_id == meant.token_id
            np.testing.assert_allclose(logits_of(one), logits_of(meant), atol=1e-4, rtol=0)
        if step.index < 4:
            assert step.ablated.token_id == step.unswitched.token_id
    assert all(step.unswitched is None for step in alone)
    cut = {run: [getattr(s, run).token_id for s in steps[:6]] for run in ALL_RUNS}
    again = all_of(
        e, 3, switches={4: "m2 1.0"}, prefix=cut["clean"], ablated_prefix=cut["ablated"],
        unswitched_prefix=cut["unswitched"],
    )  # fmt: skip
    for run in ALL_RUNS:
        ids = [getattr(s, run).token_id for s in steps]
        agree(again, run, ids, [torch.tensor(logits_of(getattr(s, run))) for s in steps])
    assert again[-1].table()[-1]["run"] == "unswitched"


def test_the_clean_text_is_the_unswitched_one_where_nothing_acted_before(endless: Any) -> None:
    directory, _ = endless("llama")
    e = engine.Experiment(directory, "t4 t9 t2", method="set(0.7)")
    steps = list(engine.generate(e, 8, switches={4: "a0 m1"}))
    assert all(step.unswitched is step.clean for step in steps)
    assert any(step.parted for step in steps) and not any(step.parted for step in steps[:4])
    gone = list(engine.generate(e, 8, switches={2: "m1", 5: ""}))
    assert all(s.unswitched is not s.clean for s in gone) and gone[2].kl != 0


def test_from_and_until_hold_for_what_is_switched_too(endless: Any) -> None:
    directory, _ = endless("gpt2")
    e = engine.Experiment(directory, "t4 t9", ablations="m0")
    found = all_of(e, 9, switches={3: "m1", 6: "a0"}, from_step=2, until_step=5)
    meant = all_of(e.clean, 9, switches={2: "m0", 3: "m1", 5: ""})
    for step, own in zip(found, meant, strict=True):
        np.testing.assert_array_equal(logits_of(step.ablated), logits_of(own.ablated))
    assert all(step.unswitched.token_id == step.ablated.token_id for step in found)


def test_a_chosen_token_branches_both_runs(endless: Any) -> None:
    directory, _ = endless("gpt2")
    e = engine.Experiment(directory, "t4 t9", ablations="m0")
    steps = list(engine.generate(e, 3, prefix=[7, 8]))
    for run in ("clean", "ablated"):
        assert [getattr(s, run).token_id for s in steps[:2]] == [7, 8]
        assert [getattr(s, run).forced for s in steps] == [True, True, False, False, False]
    assert not steps[1].parted and steps[2].kl is not None


def test_ranks_moves_entropy_and_divergence_are_those_of_the_logits(endless: Any) -> None:
    directory, _ = endless("llama")
    e = engine.Experiment(directory, "t4 t9 t2", ablations="a1")
    for step in all_of(e, 4)[:1]:
        clean, ablated = (torch.tensor(logits_of(r)).double() for r in (step.clean, step.ablated))
        p, q = clean.log_softmax(-1), ablated.log_softmax(-1)
        assert step.kl == pytest.approx(float((p.exp() * (p - q)).sum()), abs=1e-5)
        assert step.clean.entropy == pytest.approx(float(-(p.exp() * p).sum()), abs=1e-5)
        order = [torch.argsort(x, descending=True, stable=True).tolist() for x in (clean, ablated)]
        assert step.clean.top.ids.tolist() == order[0]
        for place, (token, move) in enumerate(
            zip(step.ablated.top.ids.tolist(), step.ablated.top.moves.tolist(), strict=True)
        ):
            assert order[0].index(token) - place == move
        assert step.clean.prob == pytest.approx(float(p.exp().max()), abs=1e-6)


def test_sampling_is_the_seeds_alone_and_branches_keep_their_luck(endless: Any) -> None:
    directory, _ = endless("qwen2")
    e = engine.Experiment(directory, "t4 t9 t2", ablations="1.2")

    def ids(asked: engine.Experiment, n: int, **how: Any) -> list[int]:
        steps = engine.generate(asked, n, temperature=1.5, **how)
        return [some(step.clean).token_id for step in steps]

    one = ids(e, 12, seed=5)
    assert one == ids(e, 12, seed=5) != ids(e, 12, seed=6)
    assert ids(e, 8, seed=5, prefix=one[:4]) == one
    assert ids(e.clean, 12, seed=5) == one


def test_runs_that_say_the_same_draw_the_same(endless: Any) -> None:
    directory, _ = endless("qwen2")
    e = engine.Experiment(directory, "t4 t9 t2", ablations="1.2", method="scale(1)")
    steps = list(engine.generate(e, 20, temperature=3.0, seed=1))
    assert not any(step.parted for step in steps)


@pytest.mark.parametrize(
    ("top_k", "top_p"), [(None, None), (3, None), (None, 0.7), (4, 0.8), (1, None), (None, 1e-9)]
)
def test_what_is_drawn_has_the_distribution_asked_for(
    top_k: int | None, top_p: float | None
) -> None:
    logits = torch.tensor([[2.0, 1.0, 0.5, 0.5, -1.0, -3.0]])
    temperature = 0.8
    p = (logits[0] / temperature).softmax(-1)
    kept = list(range(6))[: top_k or 6]
    if top_p is not None:
        q = p[kept] / p[kept].sum()
        kept = [i for i in kept if float(q[:i].sum()) < top_p]
    meant = torch.zeros(6)
    meant[kept] = p[kept] / p[kept].sum()
    sampling = Sampling(temperature, top_k, top_p, seed=3)
    torch.testing.assert_close(sampling.allowed(logits)[0].exp(), meant, atol=1e-6, rtol=0)
    n = 4000
    counts = torch.bincount(
        torch.tensor([int(sampling.take(logits, step)[0]) for step in range(n)]), minlength=6
    )
    assert (counts[meant == 0] == 0).all()
    assert (counts / n - meant).abs().max() < 4 * (0.25 / n) ** 0.5


def test_a_step_whose_text_would_tokenize_otherwise_is_flagged() -> None:
    t = engine.tokenize("seq-gpt2", "1 2 13")
    one, three = (engine.tokenize("seq-gpt2", x).ids[0] for x in "13")
    space = engine.tokenize("seq-gpt2", " 1").ids
    assert len(space) == 1 and one != three and len(t) == 3
    e = engine.Experiment("seq-gpt2", "1 2", ablations="0.1")
    steps = list(engine.generate(e, 1, prefix=[*space, three]))
    assert [some(s.clean).retokenizes for s in steps[:2]] == [False, True]
    assert engine.tokenize("seq-gpt2", "1 2 13").ids[-1:] != (three,)


def test_retokenizing_goes_on_from_the_ids_the_text_has() -> None:
    e = engine.Experiment("seq-gpt2", "1 2", ablations="m3")
    (one,), (three,) = (engine.tokenize("seq-gpt2", x).ids for x in (" 1", "3"))
    steps = list(engine.generate(e, 8, retokenize=True, prefix=[one, three]))
    ref = AutoModelForCausalLM.from_pretrained("assets/models/seq-gpt2").eval()
    ids, text = list(engine.tokenize("seq-gpt2", "1 2").ids), "1 2"
    for i, step in enumerate(steps):
        with torch.no_grad():
            logits = ref(input_ids=torch.tensor([ids])).logits[0, -1]
        run = some(step.clean)
        top = run.top
        np.testing.assert_allclose(top.logits, logits[top.ids.tolist()].numpy(), atol=1e-4)
        ids.append(run.token_id)
        text += run.text
        anew = list(engine.tokenize("seq-gpt2", text).ids)
        assert run.retokenizes == (anew != ids) == (i in (1, 2)), i
        if i > 1:
            assert run.rewritten == (tuple(anew) if i == 2 else None)
            ids = anew
    plain = [some(step.clean) for step in engine.generate(e, 8, prefix=[one, three])]
    assert all(run.rewritten is None and run.retokenizes for run in plain[1:])


def test_switching_by_step_and_retokenizing_exclude_each_other(endless: Any) -> None:
    directory, _ = endless("gpt2")
    e = engine.Experiment(directory, "t1", ablations="0.1")
    with pytest.raises(engine.ExperimentError, match="choose one"):
        engine.generate(e, 3, retokenize=True, from_step=1)


@pytest.fixture
def ending(tiny: Tiny, tmp_path: Path) -> Any:
    """A model that ends its text with whatever it would say first after `t4 t9`."""

    def give(at: int) -> tuple[str, list[int]]:
        never = str(tiny("llama", eos_token_id=None))
        steps = engine.generate(engine.Experiment(never, "t4 t9"), at + 1)
        said = [some(step.clean).token_id for step in steps]
        return str(tiny("llama", eos_token_id=said[at])), said

    return give


def test_a_text_that_ends_at_once_is_told(ending: Any) -> None:
    directory, said = ending(0)
    stream = engine.generate(engine.Experiment(directory, "t4 t9"), 10)
    steps = list(stream)
    assert len(steps) == 1
    run = some(steps[0].clean)
    assert run.ends and run.token_id == said[0]
    assert "ends at once" in stream.ended


def test_one_run_goes_on_when_the_other_has_ended(ending: Any) -> None:
    directory, said = ending(2)
    end = said.index(said[2])
    e = engine.Experiment(directory, "t4 t9", ablations="a0 m1", method="set(0.7)")
    steps = list(engine.generate(e, 12))
    assert steps[end].clean.ends and not steps[end].ablated.ends
    after = steps[end + 1 :]
    assert after and all(s.clean is None and s.parted and s.kl is None for s in after)
    alone = list(engine.generate(engine.Experiment(str(directory), "t4 t9"), 12))
    assert some(alone[-1].clean).ends and len(alone) == end + 1


def test_the_context_is_filled_and_no_more(tiny: Tiny) -> None:
    directory = str(tiny("gpt2", n_positions=8, eos_token_id=None))
    e = engine.Experiment(directory, "t1 t2", ablations="0.1")
    stream = engine.generate(e, 10**9)
    steps = list(stream)
    assert len(steps) == 8 - 3 + 1  # the last token taken need not be read
    assert "at most 8" not in stream.ended and "8 tokens" in stream.ended
    assert "6 of the 1,000,000,000 tokens" in stream.notes[-1]
    with pytest.raises(engine.TokenError, match="at most 8"):
        engine.generate(e, 1, prefix=[5] * 6)
    assert len(list(engine.generate(e, 4, prefix=[5] * 5))) == 6


def test_what_cannot_be_generated_is_told(endless: Any) -> None:
    directory, _ = endless("gpt2")
    e = engine.Experiment(directory, "t1 t2", ablations="0.1", corrupted="t1 t2 t3")
    for options, told in (
        ({"max_new_tokens": 0}, "at least 1"),
        ({"max_new_tokens": -3}, "at least 1"),
        ({"prefix": [99]}, "Token id 99 is outside"),
        ({"prefix": [5], "ablated_prefix": [5, 6]}, "give both as many"),
        ({"k": 0}, "1 to 64"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_k": 0}, "top-k"),
        ({"top_p": 0.0}, "top-p"),
        ({"seed": -1}, "seed"),
        ({"from_step": -1}, "count from 0"),
        ({"from_step": 5, "until_step": 2}, "never acts"),
        ({"switches": {2: "9.1"}}, "layer 9"),
    ):
        with pytest.raises(engine.EngineError, match=told):
            engine.generate(e, **options)
    with pytest.raises(engine.ExperimentError, match="4 tokens long and the prompt 3"):
        list(engine.generate(engine.Experiment(**{**vars(e), "method": "resample"}), 3))
    with pytest.raises(engine.TokenError, match="empty"):
        engine.generate(engine.Experiment(directory, "", prepend_bos=False), 3)


def test_numbers_that_overflow_are_told(tiny: Tiny) -> None:
    directory = str(tiny("gpt2", n_layer=2))
    engine.load(directory, dtype="float16")
    e = engine.Experiment(directory, "t1 t2", ablations="m0 a0", method="set(1e6)")
    with pytest.raises(engine.EngineError, match="overflow"):
        list(engine.generate(e, 3))


def test_a_method_that_has_nothing_to_change_says_so(endless: Any) -> None:
    directory, _ = endless("gpt2")
    fields: dict[str, Any] = {"corrupted": "t5 t6", "method": "resample", "ablations": "0.1"}
    e = engine.Experiment(directory, "t1 t2", **fields)
    assert "prompt's tokens only" in engine.generate(e, 2).notes[-1]
    nowhere = engine.Experiment(directory, "t1 t2", positions="generated", **fields)
    assert "Nothing is changed" in engine.generate(nowhere, 2).notes[-1]
    late = engine.Experiment(directory, "t1 t2", positions="prompt", ablations="0.1")
    assert "Nothing is changed" in engine.generate(late, 2, from_step=1).notes[-1]


@pytest.fixture
def slow(endless: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A model on which every token waits for its turn; `passes` counts those that were read."""
    directory, _ = endless("gpt2")
    model = registry.load(directory)
    passes, turn = [], threading.Semaphore(0)
    own = type(model).go_on

    def held(self: Any, ids: Any, cache: Any) -> Any:
        turn.acquire(timeout=10)
        passes.append(tuple(ids.shape))
        return own(self, ids, cache)

    list(engine.generate(engine.Experiment(directory, "t1"), 1))
    monkeypatch.setattr(type(model), "go_on", held)
    return directory, passes, turn, model


def idle(model: Any) -> None:
    model.worker.run(lambda: None)
    model.worker.run(lambda: None)


def test_stop_answers_within_one_token(slow: Any) -> None:
    directory, passes, turn, model = slow
    stream = engine.generate(engine.Experiment(directory, "t1 t2", ablations="0.1"), 50)
    turn.release(3)
    next(stream), next(stream), next(stream)
    stream.cancel()
    start = time.perf_counter()
    assert next(stream, None) is None and stream.ended == "Stopped."
    assert time.perf_counter() - start < 0.5
    turn.release(100)
    idle(model)
    assert len(passes) <= 4


def test_a_newer_request_of_the_same_view_replaces_it(slow: Any) -> None:
    directory, _, turn, _ = slow
    e = engine.Experiment(directory, "t1 t2", ablations="0.1")
    old = engine.generate(e, 40, view="page")
    turn.release(2)
    next(old)
    new = engine.generate(e, 3, view="page")
    turn.release(100)
    with pytest.raises(engine.Cancelled):
        list(old)
    with pytest.raises(engine.Cancelled):
        next(old)
    assert len(list(new)) == 3


def test_letting_go_of_the_iterator_ends_the_work(slow: Any) -> None:
    directory, passes, turn, model = slow
    stream = engine.generate(engine.Experiment(directory, "t1 t2", ablations="0.1"), 50)
    turn.release(2)
    next(stream)
    future = stream._run.future
    del stream
    gc.collect()
    turn.release(100)
    idle(model)
    assert future.done() and len(passes) <= 3


def test_other_questions_are_answered_between_tokens(slow: Any) -> None:
    directory, passes, turn, model = slow
    e = engine.Experiment(directory, "t1 t2 t3", ablations="0.1 m1")
    alone = [(s.clean.token_id, s.ablated.token_id) for s in _released(turn, e, 10)]
    before = len(passes)
    stream = engine.generate(e, 10)
    found = []
    for i in range(10):
        turn.release()
        step = next(stream)
        found.append((some(step.clean).token_id, some(step.ablated).token_id))
        asked = threading.Thread(
            target=engine.next_token, args=(engine.Experiment(directory, f"t{i} t5"),)
        )
        asked.start()
        while asked.is_alive() and not model.worker._queue:
            time.sleep(0.001)  # it is asked before the next token has its turn
        turn.release()
        asked.join(60)
        assert not asked.is_alive()
    turn.release(20)
    assert found == alone and len(passes) - before <= 12


def _released(turn: Any, e: Any, n: Any) -> Any:
    turn.release(n)
    return list(engine.generate(e, n))


def test_a_released_model_ends_its_generations(tiny: Tiny) -> None:
    directory = str(tiny("gpt2", eos_token_id=None, n_positions=63))
    stream = engine.generate(engine.Experiment(directory, "t1"), 60)
    next(stream)
    engine.release(directory)
    with pytest.raises(engine.Cancelled):
        list(stream)
