"""Calls as notebooks write them: those whose meaning is plain, beside what they mean, and others.

`python -m tests.support.odd_calls` makes them all, as a notebook would, and prints what came of
each.
"""

# mypy: disable-error-code="arg-type, misc"

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import engine
from engine.model.checkpoints import BUNDLED
from tests.support.some import some

M = "seq-gpt2"
P = {"prompt": "1 2 3 4", "corrupted": "7 2 9 4", "answer": " 5", "distractor": " 4"}
E = engine.Experiment(M, **P, ablations="0.1")
PAIR = engine.Pair(*P.values())
TASK = engine.Task("your own", (PAIR,), model=M)
CIRCUIT = engine.Circuit("a", M, "", "0.1 m2", 6, 8)
HEAD, MLP = engine.Head(0, 1), engine.MLP(2)


def asked(**fields: Any) -> engine.Experiment:
    return engine.Experiment(M, "1 2 3", **fields)


def grown(prompts: Any, n: Any = 2, **more: Any) -> str:
    return repr(engine.generate_many(E, prompts, n, **more).result().rows)


def steps(n: Any = 2, **more: Any) -> list[int]:
    return [some(step.ablated).token_id for step in engine.generate(E, n, **more)]


def swept(pairs: Any) -> np.ndarray:
    return engine.sweep(E.clean, pairs).head_numbers


def patterns(heads: Any) -> np.ndarray:
    return engine.attention(E, heads=heads).ablated.pattern


def sources(head: Any) -> np.ndarray:
    return engine.source_attribution(E, head).clean.direct


def neurons(mlp: Any) -> np.ndarray:
    return engine.neuron_attribution(E, mlp).clean.direct


def read(names: Any) -> list[tuple[str, int]]:
    return sorted(engine.activations(E, names).clean)


Z = [("z", layer) for layer in range(6)]
TAKEN: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    **{
        f"positions {given!r}": (
            lambda given=given: asked(positions=given),
            lambda text=text: asked(positions=text),
        )
        for given, text in (
            ([1, 2], "1-2"), ((2, 0), "0,2"), (range(2), "0-1"), (1, "1"),
            (np.array([0, 2]), "0,2"), ([-1], "-1"), (None, "all"), ([1.0], "1"),
        )
    },
    **{
        f"ablations {given!r}": (
            lambda given=given: asked(ablations=given),
            lambda text=text: asked(ablations=text),
        )
        for given, text in (
            (["0.1", "m2"], "0.1 m2"), (HEAD, "0.1"), ([HEAD, MLP], "0.1 m2"),
            ([HEAD, "m2"], "0.1 m2"), ([(0, 1), "m2"], "0.1 m2"), ({"0.1"}, "0.1"), (None, ""),
            ((), ""), (["0.1 m2", "a3"], "0.1 m2 a3"),
        )
    },
    **{
        f"changes {given!r}": (
            lambda given=given: asked(changes=given),
            lambda text=text: asked(changes=text),
        )
        for given, text in (
            ("zero 0.1", ["zero 0.1"]), ("zero 0.1\nmean m2", ["zero 0.1", "mean m2"]),
            (engine.Change("0.1"), ["zero 0.1"]), ((engine.Change(HEAD), "mean m2"),
                                                   ["zero 0.1", "mean m2"]), (None, ()),
        )
    },
    "a kind as method": (lambda: asked(method=engine.Kind.MEAN), lambda: asked(method="mean")),
    "sites in a list": (lambda: engine.parse_sites(["0.1", MLP]), lambda: (HEAD, MLP)),
    "k of numpy's": (lambda: engine.next_token(E, k=np.int64(3)).clean.texts,
                     lambda: engine.next_token(E, k=3).clean.texts),
    "k 3.0": (lambda: engine.next_token(E, k=3.0).clean.texts,
              lambda: engine.next_token(E, k=3).clean.texts),
    **{
        f"heads {given!r}": (lambda given=given: patterns(given),
                             lambda: patterns([HEAD, engine.Head(2, 3)]))
        for given in ("0.1 2.3", ["0.1", "2.3"], [(0, 1), (2, 3)], ("0.1", engine.Head(2, 3)))
    },
    "one head": (lambda: patterns(HEAD), lambda: patterns([HEAD])),
    "a layer's heads": (lambda: patterns("a2"), lambda: patterns([(2, h) for h in range(8)])),
    "activations by name": (lambda: read("z"), lambda: Z),
    "activations by names": (lambda: read(["z", ("pattern", 3)]), lambda: [("pattern", 3), *Z]),
    "an activation": (lambda: read(("z", 2)), lambda: [("z", 2)]),
    "an activation as TransformerLens writes it": (
        lambda: read(["blocks.3.attn.hook_pattern", "blocks.0.hook_resid_pre"]),
        lambda: [("pattern", 3), ("resid_pre", 0)],
    ),
    "an example of a prompt and an answer": (
        lambda: engine.Example("1 2", " 3"), lambda: engine.Example("", "1 2", " 3")),
    "an example of a prompt": (lambda: engine.Example("1 2"), lambda: engine.Example("", "1 2")),
    **{
        f"prompts {given!r:.40}": (lambda given=given: grown(given),
                                   lambda: grown([engine.Example("", "1 2 3 4", " 5")]))
        for given in ([("1 2 3 4", " 5")], [PAIR], [["1 2 3 4", " 5"]], PAIR, (("1 2 3 4", " 5"),))
    },
    "one prompt": (lambda: grown("1 2 3"), lambda: grown([engine.Example("", "1 2 3")])),
    "sets as lists": (lambda: grown("1 2", sets={"a": ["0.1", MLP]}),
                      lambda: grown("1 2", sets={"a": "0.1 m2"})),
    "switches as lists": (lambda: steps(switches={1: ["m1"]}), lambda: steps(switches={1: "m1"})),
    "a prefix of floats": (lambda: steps(prefix=[282.0]), lambda: steps(prefix=[282])),
    **{
        f"a task {number}": (make, lambda: engine.Task("mine", (PAIR,), model=M))
        for number, make in enumerate([
            lambda: engine.Task("mine", M, [PAIR]),
            lambda: engine.Task("mine", [PAIR], model=M),
            lambda: engine.Task("mine", PAIR, model=M),
            lambda: engine.Task("mine", [tuple(P.values())], model=M),
        ])
    },
    **{
        f"pairs {given!r:.30}": (lambda given=given: swept(given), lambda: swept((PAIR,)))
        for given in ([tuple(P.values())], PAIR, TASK, [list(P.values())])
    },
    "evaluated on pairs": (lambda: repr(engine.evaluate(CIRCUIT, [PAIR], controls=1.0).kept),
                           lambda: repr(engine.evaluate(CIRCUIT, TASK, controls=1).kept)),
    "a circuit of a list": (lambda: engine.Circuit("a", M, "", ["0.1", MLP], 6, 8),
                            lambda: CIRCUIT),
    "steps 3.0": (lambda: engine.node_attribution(E.clean, PAIR, 3.0).heads,
                  lambda: engine.node_attribution(E.clean, (PAIR,), 3).heads),
    "an MLP's layer": (lambda: neurons(2), lambda: neurons(MLP)),
    "a head's name": (lambda: sources("0.1"), lambda: sources([HEAD])),
    "a path": (lambda: engine.load(BUNDLED / M).name, lambda: engine.load(str(BUNDLED / M)).name),
}  # fmt: skip


NO_HEADS: list[Any] = ["m1", "a1", [], None, 2.5, "9.9"]
NO_MLPS: list[Any] = ["1.1", "m1 m2", 99, -1, None, 2.5, True]
NO_TEXTS: list[Any] = [None, 5, ["1 2"], b"1 2", {"a": 1}]
REFUSED: dict[str, Callable[[], Any]] = {
    **{f"positions {g!r}": lambda g=g: asked(positions=g) for g in (1.5, ["a"], {0: 1}, [True])},
    **{f"ablations {g!r}": lambda g=g: asked(ablations=g) for g in (3, {"0.1": 2}, [None], "x")},
    **{f"method {g!r}": lambda g=g: asked(method=g) for g in (None, 3, ["zero"], "zap")},
    **{f"changes {g!r}": lambda g=g: asked(changes=g)
       for g in (3, {"zero": "0.1"}, [None], "0.1", [["zero 0.1"]], b"zero 0.1", "zero", [HEAD])},
    **{f"prompt {g!r}": lambda g=g: engine.Experiment(M, g) for g in NO_TEXTS},
    **{f"tokenize {g!r}": lambda g=g: engine.tokenize(M, g) for g in NO_TEXTS},
    **{f"pair {g!r}": lambda g=g: engine.Pair(g) for g in NO_TEXTS},
    **{f"example {g!r}": lambda g=g: engine.Example("", g) for g in NO_TEXTS},
    **{f"load {g!r}": lambda g=g: engine.load(g) for g in (None, 5, ["a"])},
    **{f"weight {g!r}": lambda g=g: engine.weight(M, g) for g in (None, 5)},
    **{f"link {g!r}": lambda g=g: engine.Experiment.from_url(g) for g in (None, 5)},
    **{f"json {g!r}": lambda g=g: engine.Experiment.from_json(g) for g in (None, {"prompt": "1"})},
    **{f"references {g!r}": lambda g=g: asked(references=g) for g in ("1 2", [1], 5)},
    **{f"k {g!r}": lambda g=g: engine.next_token(E, k=g) for g in (2.5, "3", True, 0, [1])},
    **{f"lens k {g!r}": lambda g=g: engine.logit_lens(E, k=g) for g in (2.5, "3")},
    **{
        f"{function.__name__} of {e!r}": lambda function=function, e=e: function(e)
        for function in (engine.next_token, engine.logit_lens, engine.attention, engine.generate,
                         engine.attention_overview, engine.direct_attribution, engine.sweep,
                         engine.node_attribution, engine.edge_attribution)
        for e in ("1 2 3", None, {"prompt": "1"})
    },
    **{f"heads {g!r}": lambda g=g: patterns(g) for g in ("m1", [], "9.9", 3, [None])},
    **{f"sources of {g!r}": lambda g=g: sources(g) for g in NO_HEADS},
    **{f"neurons of {g!r}": lambda g=g: neurons(g) for g in NO_MLPS},
    **{f"activations {g!r}": lambda g=g: read(g) for g in ("zz", None, 3, {"z": 0})},
    **{f"prompts {g!r}": lambda g=g: grown(g) for g in ([1], [], 5, None, [()], {"1 2": 3})},
    **{f"sets {g!r}": lambda g=g: grown("1 2", sets=g) for g in ("0.1", ["0.1"])},
    **{f"tokens {g!r}": lambda g=g: grown("1 2", g) for g in (2.5, "2", None)},
    **{f"new tokens {g!r}": lambda g=g: steps(g) for g in (2.5, "2", None)},
    **{f"temperature {g!r}": lambda g=g: steps(temperature=g) for g in ("1", None, [1])},
    **{f"seed {g!r}": lambda g=g: steps(temperature=1.0, seed=g) for g in (1.5, "1")},
    **{f"top-k {g!r}": lambda g=g: steps(temperature=1.0, top_k=g) for g in (1.5, "1")},
    **{f"prefix {g!r}": lambda g=g: steps(prefix=g) for g in (" 5", [1.5], ["5"])},
    **{f"first step {g!r}": lambda g=g: steps(from_step=g) for g in (0.5, "1")},
    **{f"task of {g!r}": lambda g=g: engine.Task("mine", g) for g in ([1], [()], None, 3)},
    **{f"task named {g!r}": lambda g=g: engine.Task(g, [PAIR]) for g in (None, 3)},
    **{f"drawn {g!r}": lambda g=g: engine.task("numerals", M, g) for g in (2.5, "3", None)},
    **{f"family {g!r}": lambda g=g: engine.task(g, M) for g in (3, None)},
    **{f"style {g!r}": lambda g=g: engine.task("months", M, style=g) for g in (3, None, ["then"])},
    **{f"families {g!r}": lambda g=g: engine.score_styles(M, g) for g in (5, [3], None, {"a": 1})},
    **{f"examples {g!r}": lambda g=g: engine.examples("months", g) for g in (2.5, "3")},
    **{f"sweep over {g!r}": lambda g=g: swept(g) for g in ([], [1], 5)},
    **{f"lengths of {g!r}": lambda g=g: engine.score_lengths(E, g) for g in ([], [1], 5)},
    **{f"steps {g!r}": lambda g=g: engine.node_attribution(E.clean, steps=g)
       for g in (0, 2.5, "3", True, None)},
    "threshold": lambda: engine.discover(TASK, M, threshold="0.1"),
    "a circuit that is none": lambda: engine.evaluate("0.1", TASK),
    "layers of a text": lambda: engine.Circuit("a", M, "", "0.1", "six", 8),
}  # fmt: skip


def outcome(call: str) -> str:
    """What came of a call: "as meant", "refused: " and the sentence, or the error itself."""
    try:
        if call in TAKEN:
            odd, plain = (one() for one in TAKEN[call])
            alike = np.array_equal(odd, plain) if isinstance(plain, np.ndarray) else odd == plain
            return "as meant" if alike else f"{odd!r:.200} is not {plain!r:.200}"
        return f"taken: {REFUSED[call]()!r:.200}"
    except engine.EngineError as wrong:
        return f"refused: {wrong}"
    except Exception as wrong:
        return f"{type(wrong).__name__}: {wrong}"


def main() -> None:
    """Print what came of every call, as JSON."""
    sys.stdout.write(json.dumps({call: outcome(call) for call in (*TAKEN, *REFUSED)}))


if __name__ == "__main__":
    main()
