"""Questions as values, and the work that answers them."""

from __future__ import annotations

import gc
import threading
import time
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine
from engine.experiment.question import Question
from engine.model import work as work_module
from tests.support.tiny_models import Tiny

E = engine.Experiment(
    "seq-gpt2", "1 2 3 4", "8 1 6 3", " 5", " 4", ablations="1.3", changes="scale(2) m1 @-1"
)
TASK = engine.Task("mine", (engine.Pair("1 2 3", "1 5 3", " 4", " 3"), engine.Pair("2 3 4")))
SEARCH = engine.Search("seq-gpt2", TASK, threshold=0.3, by="greedy")
RANKED = engine.Ranked("one", "seq-gpt2", "nodes", {"m0": 0.5, "1.1": -2.0, "r0": 0.0})
CIRCUIT = engine.Circuit("one", "seq-gpt2", "months", "0.0-2 m0 m2", 6, 8)
UP = engine.Direction("up", "r2", engine.FromUnembedding(" 5", " 4"))
STEERED = engine.Experiment("seq-gpt2", "1 2 3 4", vectors=[UP], positions="-1")
OWN = engine.PromptSet("a", ("b", "c"))
QUESTIONS: list[Question[Any, Any]] = [
    engine.Sweep(E),
    engine.Sweep(E, TASK.pairs, per_position=True, estimate=True, at="answer"),
    engine.Patch(E.clean),
    engine.Patch(E.clean, TASK.pairs, "k", "noise", per_position=True, estimate=True),
    engine.AttributeNodes(E.clean),
    engine.AttributeNodes(E.clean, TASK.pairs, steps=12),
    engine.AttributeEdges(E.clean),
    engine.AttributeEdges(E.clean, TASK.pairs, steps=1),
    engine.FaithfulnessCurves(RANKED, TASK),
    engine.FaithfulnessCurves(RANKED, TASK, "signed", controls=2, seed=3),
    engine.ScoreLengths(E),
    engine.ScoreLengths(E.clean, TASK.pairs),
    engine.Discover(SEARCH),
    engine.Discover(SEARCH, controls=3, seed=2, fresh=TASK, save="12"),
    engine.DiscoverMany(SEARCH),
    engine.DiscoverMany(replace(SEARCH, by="nap-ig", steps=3), 4, 3, 2, right=True, fresh=False),
    engine.Evaluate(CIRCUIT, TASK, 5, 1, layer_matched=False, references=("1 2", "3"), model="x"),
    engine.ScoreTask("seq-gpt2", TASK),
    engine.ScoreTask("12", TASK, E),
    engine.PatchPaths(E),
    engine.PatchPaths(E, engine.parse_sites("1.1 m0"), "3.1.q logits", TASK),
    engine.MapPaths(E, engine.parse_sites("1.1 m0"), split=True),
    engine.Generate(E, 5, temperature=0.5, top_k=3, seed=4, prefix=(1, 2), k=2),
    engine.Generate(E, 5, switches=((2, engine.ablations("keep 1.1")),)),
    engine.GenerateMany(E, engine.examples("months", 3), sets=(("a", engine.ablations("a0")),)),
    engine.RankAnswers(E, (" 5", " \n", "true")),
    engine.DrawTask("numerals", "seq-gpt2", 4, seed=2),
    engine.DrawTask("numerals", "seq-gpt2", style="commas"),
    engine.ScoreStyles("seq-gpt2"),
    engine.ScoreStyles("seq-gpt2", ("numerals", "ages"), 4, 2),
    engine.DrawFresh(TASK, 3),
    engine.RankNeurons(E, TASK.pairs, layer=1, exact=3),
    engine.FindContexts("seq-gpt2", engine.Neuron(1, 2), ("a", "b"), 9, 2),
    engine.FindLanguageNeurons(
        "seq-gpt2", (engine.prompt_set("english"), engine.PromptSet("a", ("b", "c")))
    ),
    engine.SteeringMap(STEERED, "up"),
    engine.SteeringMap(STEERED, "up", TASK.pairs, (1,), (2.5,), 2, 3, ("a b c",), TASK.pairs[:1]),
    engine.BestCoefficient(STEERED, "up", TASK.pairs, 2, 0.5, 9, 1, 2, ("a b c",), ()),
    engine.SteerTexts(STEERED, "up", 2, 0.5, ("1 2",), 5, 1, 2),
    engine.MeasureSae("seq-gpt2", "seq-gpt2-r3@r3", ("1 2 3",), 9),
    engine.TrainSae("seq-gpt2", "r3.mid", ("1 2", "3"), 2, 8, 4_000, name="own"),
    engine.CutFeatures(E, "seq-gpt2-r3@r3"),
    engine.CutFeatures(
        E, "seq-gpt2-r3@r3", TASK.pairs, "f3.5 f3.2-3", "signed", "zero", "zero", 2, 1
    ),
    engine.RankFeatures(E, "seq-gpt2-r3@r3", TASK.pairs, 5, 4, 3),
    engine.FindFeatureContexts("seq-gpt2", f"own@m2:{'a' * 64}", "f2.3", ("a", "b"), k=2),
    engine.Load("seq-gpt2", dtype="float32"),
]


def named(question: Question[Any, Any]) -> str:
    return f"{question.asks} {QUESTIONS.index(question)}"


@pytest.mark.parametrize("question", QUESTIONS, ids=named)
def test_json_link_and_python_give_the_question_back(question: Any) -> None:
    assert Question.from_json(question.to_json()) == question
    assert Question.from_url(question.to_url()) == question
    assert hash(Question.from_dict(question.to_dict())) == hash(question)
    asked: list[Question[Any, Any]] = []

    class Door:
        def __getattr__(self, name: str) -> Any:
            return getattr(engine, name)

    door = Door()
    kind = type(question)
    if isinstance(question, engine.Discover | engine.DiscoverMany):
        # whose functions take the rule's fields one by one

        def discover(task: Any, model: str, **told: Any) -> None:
            own = {f.name for f in fields(kind)} - {"search"}
            outer = {n: told.pop(n) for n in own if n in told}
            asked.append(kind(engine.Search(model, task, **told), **outer))

        setattr(door, question.asks, discover)
        question = replace(question, save=None)
    else:
        setattr(door, question.asks, lambda *a, **k: asked.append(kind(*a, **k)))
    written = question.to_python()
    eval(written.replace("engine.", "door."), {"door": door})
    assert asked == [question]


def test_only_what_differs_from_the_defaults_is_written() -> None:
    plain = engine.Sweep(engine.Experiment("seq-gpt2", "1 2"))
    assert plain.to_dict() == {"asks": "sweep", "e": {"model": "seq-gpt2", "prompt": "1 2"}}
    assert plain.to_python() == "engine.sweep(engine.Experiment(model='seq-gpt2', prompt='1 2'))"
    told = engine.Evaluate(CIRCUIT, TASK, seed=3).to_python(circuit="circuit", task="task")
    assert told == "engine.evaluate(circuit, task, seed=3)"


@pytest.mark.parametrize(
    "text",
    [
        "", "nonsense", "[]", "1", "null", "[" * 10_000, '{"asks": "sweep"}', '{"asks": "nothing"}',
        '{"asks": ["sweep"]}', '{"asks": "sweep", "e": 3}', '{"asks": "sweep", "e": {"x": 1}}',
        '{"asks": "sweep", "e": {}, "at": "nowhere"}', '{"asks": "sweep", "e": {}, "at": 3}',
        '{"asks": "sweep", "e": {}, "other": 1}', '{"asks": "task", "family": "x", "model": "y"}',
        '{"asks": "task", "family": "numerals", "model": "y", "n": true}',
        '{"asks": "task", "family": "numerals", "model": "y", "n": 1e999}',
        '{"asks": "path_matrix", "e": {}, "members": ["9.1 m9"]}',
        '{"asks": "path_matrix", "e": {}, "members": "zz"}',
        '{"asks": "generate", "e": {}, "switches": [[1]]}',
        '{"asks": "evaluate", "circuit": {}, "task": {}}',
        '{"asks": "score_lengths", "e": {}, "pairs": []}',
    ],
)  # fmt: skip
def test_json_that_is_no_question_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(engine.EngineError) as told:
        Question.from_json(text)
    assert str(told.value).endswith((".", "?")) and len(str(told.value).split()) > 3


@given(st.text(max_size=40))
def test_any_link_is_a_question_or_a_sentence(text: Any) -> None:
    with pytest.raises(engine.EngineError):
        Question.from_url(f"?asks=sweep&e={text}")
    with pytest.raises(engine.EngineError):
        Question.from_url(text)


def test_what_is_no_question_is_refused() -> None:
    with pytest.raises(engine.EngineError, match=r"such as engine\.Sweep"):
        engine.begin("sweep")  # type: ignore[arg-type]


def _numbers(found: engine.SweepResult) -> list[float]:
    return [float(x) for x in found.heads.ravel()]


def test_begin_loads_a_model_that_is_not_there_and_tells_how_far_that_is(tiny: Tiny) -> None:
    directory = str(tiny("gpt2", initializer_range=0.03))
    e = engine.Experiment(directory, "t1 t2 t3", answer="t4", distractor="t5")
    work = engine.begin(engine.Sweep(e))
    assert 0 <= work.progress <= 1
    found = work.result(120)
    assert work.done and work.progress == 1 and found.done
    assert _numbers(found) == _numbers(engine.sweep(e))
    with pytest.raises(engine.EngineError):  # asked of a loaded model it is refused at once
        engine.begin(engine.Generate(replace(e, prompt="t1 " * 500)))
    engine.release(directory)
    late = engine.begin(engine.Generate(replace(e, prompt="t1 " * 500)))
    with pytest.raises(engine.EngineError):
        late.result(120)


def test_a_model_that_is_not_to_be_had_is_told_where_the_work_is_waited_for() -> None:
    work = engine.begin(engine.Sweep(engine.Experiment("no/such-model-anywhere", "1 2")))
    with pytest.raises(engine.ModelError):
        work.result(120)
    with pytest.raises(engine.ModelError):
        list(work)


class Slow:
    """Work that goes on until it is let go, in front of a clock that the test turns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.steps, self.closed = 0.0, 0, threading.Event()
        monkeypatch.setattr(work_module, "monotonic", lambda: self.now)

        def pairs(asked: engine.DrawTask) -> Any:
            try:
                while True:
                    self.steps += 1
                    time.sleep(0.002)
                    yield 0.5
            finally:
                self.closed.set()

        monkeypatch.setattr("engine.tasks.drawing.draw", pairs)

    def goes_on(self) -> bool:
        """Whether several more steps are done."""
        until = self.steps + 40
        while self.steps < until:
            if self.closed.wait(0.01):
                return False
        return True


QUESTION = engine.DrawTask("numerals", "seq-gpt2")


def test_work_of_a_view_that_nobody_looks_at_for_half_a_minute_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow = Slow(monkeypatch)
    work = engine.begin(QUESTION, "view")
    for now in (29.0, 58.0, 87.0):
        slow.now = now
        assert slow.goes_on() and not work.done  # which is a look
    slow.now = 116.0
    assert slow.goes_on() and not work.is_over  # which is none
    slow.now = 118.0
    assert slow.closed.wait(60)
    with pytest.raises(engine.Cancelled, match="Nobody looked"):
        work.result(60)


def test_who_waits_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch)
    work = engine.begin(QUESTION, "view")
    ends: list[BaseException] = []

    def wait() -> None:
        try:
            work.result()
        except engine.Cancelled as wrong:
            ends.append(wrong)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not work._run.wanted._waiting:
        time.sleep(0.001)
    slow.now = 1_000.0
    assert slow.goes_on()
    work.cancel()
    waiting.join(60)
    assert slow.closed.wait(60) and len(ends) == 1


def test_work_without_a_view_is_held_by_its_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow(monkeypatch)
    work = engine.begin(QUESTION)
    slow.now = 1_000_000.0
    assert slow.goes_on() and not work.is_over
    del work
    gc.collect()
    assert slow.closed.wait(60)


def test_a_newer_question_of_a_view_ends_the_older(monkeypatch: pytest.MonkeyPatch) -> None:
    Slow(monkeypatch)
    older = engine.begin(QUESTION, "view")
    other = engine.begin(QUESTION, "another view")
    newer = engine.begin(replace(QUESTION, seed=1), "view")
    with pytest.raises(engine.Cancelled):
        older.result(20)
    assert not newer.done and not other.done
    newer.cancel()
    other.cancel()
    assert newer.stopped and newer.ended == "Stopped."
    with pytest.raises(engine.Cancelled):
        newer.result()


def test_a_load_that_nobody_looks_at_ends(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = str(tiny("gpt2", initializer_range=0.05))
    begun, go, now = threading.Event(), threading.Event(), [0.0]

    def slow(load: Any, n: int) -> Any:
        def step() -> None:
            begun.set()
            while not go.is_set():
                time.sleep(0.01)
                load.tell(0.5, "Reading the weights")

        return step

    monkeypatch.setattr("engine.registry.reading", slow)
    monkeypatch.setattr(work_module, "monotonic", lambda: now[0])
    work = engine.begin(engine.Load(directory), "view")
    over = threading.Event()
    work.when_done(over.set)
    assert begun.wait(60) and not work.is_over
    now[0] = 31.0
    assert over.wait(60)
    with pytest.raises(engine.Cancelled):
        work.result(60)
    go.set()
    assert engine.load(directory).shape.n_layers > 0


def test_a_draw_gives_what_the_function_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = engine.begin(engine.DrawTask("months", "seq-gpt2", 6, seed=3)).result(60)
    assert drawn == engine.task("months", "seq-gpt2", 6, seed=3)
    fresh = engine.begin(engine.DrawFresh(drawn)).result(120)
    assert fresh == engine.fresh_task(drawn)
    monkeypatch.setattr("engine.tasks.drawing._DRAFTS_EACH", 0)
    with pytest.raises(engine.EngineError, match="can be drawn"):
        engine.begin(engine.DrawTask("weekdays", "seq-gpt2", 30)).result(120)
