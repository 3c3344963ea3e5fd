"""Rankings in the JSON of EAP-IG's graphs, which the MIB benchmark reads and scores.

An object with `cfg` (layers, heads, width, whether attention and MLP are parallel), `nodes` and
`edges`, each by name with its `score` and whether it is `in_graph`: `input`, `a3.h5`, `m7`,
`logits`; `input->a3.h5<q>`, `a3.h5->m7`. Scores are positive where they help the answer. There
each query head has keys and values of its own: of heads that share them, an edge into the shared
input is written as one edge a head, with as much of the score each, and read as their sum.
"""

from __future__ import annotations

import json
import re
from math import isfinite, isnan
from typing import Any

from ..errors import ExperimentError, LinkError
from ..experiment.sites import MLP, Head, Site
from ..gradients.edge_results import EMBEDDING
from ..model.model import Model
from ..paths.patching import is_sequential
from ..paths.receivers import LOGITS, Receiver
from ..registry import load
from .ranked import LEVELS, Ranked, edge_name
from .wiring import wiring_of

MOST_MIB_TEXT = 200_000_000
"""Characters such a file may have."""
_HEAD = re.compile(r"a(\d+)\.h(\d+)")
_MLP = re.compile(r"m(\d+)")
_EDGE = re.compile(r"(.+?)->(.+?)(?:<([qkv])>)?")


def read_mib(text: str, model: str, level: str = "", name: str = "MIB file") -> Ranked:
    """The scores in such a file, for a model of its shape.

    `level`: "nodes" or "edges"; by itself edges, where any has a score other than 0, else nodes.
    Where no scores differ, what is `in_graph` scores 1: a circuit. A node whose score is NaN has
    none. Raises: EngineError in words for a text that is none, or is of another model's shape.
    """
    if level not in ("", *LEVELS):
        raise ExperimentError(f"A file has nodes and edges, not “{level!s:.40}”.")
    plain, own = _parsed(text), load(model)
    _check_shape(plain["cfg"], own)
    nodes, edges = plain["nodes"], plain["edges"]
    if not level:
        level = "edges" if any(_score(edges, one) for one in edges) else "nodes"
        if not any("score" in one for one in nodes.values()) and edges:
            level = "edges"
    wiring = wiring_of(own, level)
    shared = wiring.n_shared
    found: dict[str, float] = {}
    inside: dict[str, float] = {}
    for written, one in (edges if level == "edges" else nodes).items():
        if written == "logits":
            continue
        ours = _edge(written, shared) if level == "edges" else str(_node(written))
        if ours not in (wiring.edges if level == "edges" else wiring.index):
            raise LinkError(f"The file has “{written[:60]}”, and {own.name} has no such place.")
        score = _score(edges if level == "edges" else nodes, written)
        inside[ours] = max(inside.get(ours, 0.0), float(bool(one.get("in_graph"))))
        if not isnan(score):
            found[ours] = found.get(ours, 0.0) + score
        elif level == "edges":
            raise LinkError(f"The file's edge “{written[:60]}” has NaN for a score.")
    if len(set(found.values())) < 2 and len(set(inside.values())) == 2:
        found = inside
    if level == "edges":
        found = dict.fromkeys(wiring.edges, 0.0) | found
    if not found:
        raise LinkError("No node in the file has a score; MIB ranks by scores.")
    return Ranked(name, own.name, level, found)


def write_mib(ranked: Ranked) -> str:
    """A ranking as such a file's text, which `Graph.from_json` of EAP-IG reads; `in_graph` is what
    a circuit has, of others nothing. Raises: EngineError for a model of another shape."""
    model = load(ranked.model)
    edges_too = model.shape.without_heads == () == model.shape.without_mlp
    if not edges_too:
        raise ExperimentError(
            f"{model.checkpoint.architecture} has layers without heads or without MLPs, and a MIB "
            "file has both in every layer."
        )
    wiring = wiring_of(model, ranked.level)
    wiring.order(ranked, "signed")  # which refuses what is of another shape
    s, scores = model.shape, dict(ranked.scores)
    nodes: dict[str, dict[str, Any]] = {}
    by_node, inside = ranked.level == "nodes", ranked.is_circuit
    members = [name for name, score in scores.items() if inside and score == 1]
    kept = wiring.kept(ranked.level, wiring.places(ranked.level, members))
    for i, site in enumerate(wiring.graph.senders):
        entry: dict[str, Any] = {"in_graph": bool(kept[i].any())}
        if by_node:
            entry["score"] = scores.get(str(site), float("nan"))
        nodes[_written(site)] = entry
    nodes["logits"] = {"in_graph": True} | ({"score": 0.0} if by_node else {})
    edges: dict[str, dict[str, Any]] = {}
    for name, (i, j) in wiring.edges.items():
        one = wiring.graph.receivers[j]
        into = _inputs(one, wiring.n_shared)
        score = 0.0 if by_node else scores.get(name, 0.0) / len(into)
        for receiver in into:
            edges[f"{_written(wiring.graph.senders[i])}->{receiver}"] = {
                "score": score, "in_graph": bool(kept[i, j]),
            }  # fmt: skip
    cfg = {"n_layers": s.n_layers, "n_heads": s.n_heads,
           "parallel_attn_mlp": not is_sequential(model), "d_model": s.d_model}  # fmt: skip
    return json.dumps({"cfg": cfg, "nodes": nodes, "edges": edges})


def _parsed(text: str) -> dict[str, Any]:
    if not isinstance(text, str) or len(text) > MOST_MIB_TEXT:
        raise LinkError(f"A MIB file is a text of at most {MOST_MIB_TEXT:,} characters.")
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as wrong:
        raise LinkError(f"This is not JSON: {str(wrong)[:200]}.") from wrong
    parts = ("cfg", "nodes", "edges")
    if not isinstance(plain, dict) or not all(isinstance(plain.get(p), dict) for p in parts):
        raise LinkError("A MIB file is an object with “cfg”, “nodes” and “edges”, each an object.")
    for part in parts[1:]:
        bad = next((n for n, one in plain[part].items() if not isinstance(one, dict)), None)
        if bad is not None:
            raise LinkError(f"“{bad[:60]}” in the file's {part} is no object with a score.")
    return plain


def _check_shape(cfg: dict[str, Any], model: Model) -> None:
    s = model.shape
    own = {"n_layers": s.n_layers, "n_heads": s.n_heads, "d_model": s.d_model}
    if any(cfg.get(key, value) != value for key, value in own.items()):
        raise LinkError(
            f"The file is of a model of {cfg.get('n_layers')} layers of {cfg.get('n_heads')} heads "
            f"and width {cfg.get('d_model')}; {model.name} has {s.n_layers} of {s.n_heads} and "
            f"width {s.d_model}."
        )
    parallel = not is_sequential(model)
    if cfg.get("parallel_attn_mlp", parallel) != parallel:
        raise LinkError(
            "In the file's model "
            + ("heads and MLP of a layer read the same" if not parallel
               else "an MLP reads what the heads of its layer write")
            + f", and in {model.name} not."
        )  # fmt: skip


def _score(of: dict[str, Any], name: str) -> float:
    value = of[name].get("score", float("nan") if "->" not in name else 0.0)
    if isinstance(value, bool) or not isinstance(value, int | float):
        if value is None:
            return float("nan")
        raise LinkError(f"The score of “{name[:60]}” is {value!r:.40}, which is no number.")
    if not isfinite(value) and not isnan(value):
        raise LinkError(f"The score of “{name[:60]}” is infinite.")
    return float(value)


def _node(written: str) -> Site:
    if written == "input":
        return EMBEDDING
    if match := _HEAD.fullmatch(written):
        return Head(int(match[1]), int(match[2]))
    if match := _MLP.fullmatch(written):
        return MLP(int(match[1]))
    raise LinkError(f"“{written[:60]}” is no node of a MIB file: input, a3.h5, m7, logits are.")


def _edge(written: str, shared: int) -> str:
    match = _EDGE.fullmatch(written)
    if match is None:
        raise LinkError(f"“{written[:60]}” is no edge of a MIB file, as in a3.h5->m7.")
    sender, target, part = _node(match[1]), match[2], match[3]
    if target == "logits":
        return edge_name(sender, LOGITS)
    site = _node(target)
    if isinstance(site, MLP) and part is None:
        return edge_name(sender, Receiver("mlp", site.layer))
    if isinstance(site, Head) and part is not None:
        first = site.head if part == "q" else site.head - site.head % shared
        return edge_name(sender, Receiver(part, site.layer, first))
    raise LinkError(f"“{written[:60]}” is no edge of a MIB file, as in a3.h5->m7.")


def _written(site: Site) -> str:
    match site:
        case Head(layer, head):
            return f"a{layer}.h{head}"
        case MLP(layer):
            return f"m{layer}"
    return "input"


def _inputs(one: Receiver, shared: int) -> list[str]:
    """What a receiver is called there: one for each query head that reads it."""
    if one.layer is None:
        return ["logits"]
    if one.head is None:
        return [f"m{one.layer}"]
    n = 1 if one.part == "q" else shared
    return [f"a{one.layer}.h{head}<{one.part}>" for head in range(one.head, one.head + n)]
