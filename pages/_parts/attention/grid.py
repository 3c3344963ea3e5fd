"""Every head's pattern as a thumbnail: what is drawn, and what clicks on it do."""

import contextlib
import math
from collections.abc import Sequence

import numpy as np
import streamlit as st

import engine
from pages._parts import components
from pages._parts.attention.fields import HEADS, ROLE, SCORE
from pages._parts.cells import tell, turned_over
from pages._parts.figure import python_of
from pages._parts.refusals import Answered
from pages._parts.switches import act_on, open_circuit, present_sites, set_cells
from pages._parts.table import table_of_sites, ticked
from pages._parts.text import plain

RUNS = {"clean": "Clean", "ablated": "Ablated", "difference": "Difference"}
WEIGHTS = {"pattern": "Attention", "value": "× length of the value"}
_GRID, _TABLE = "attention_grid", "attention_heads"
_HINT = (
    "Rows ask, columns are looked at. Click heads to look closer; shift-click, or x, switches one "
    "off. A head that is off (crossed) still shows where it would look."
)


def pixels(shape: engine.Shape) -> int:
    """How large thumbnails are: more heads, each smaller on the screen."""
    return 48 if shape.n_heads <= 16 else 32


def scores_of(seen: engine.AttentionOverview, run: str) -> dict[str, np.ndarray]:
    """Each score [layer head_index] in one run, or ablated − clean."""
    clean, ablated = vars(seen.clean_scores), vars(seen.ablated_scores)
    if run == "difference":
        return {name: ablated[name] - clean[name] for name in engine.SCORES}
    return {name: (ablated if run == "ablated" else clean)[name] for name in engine.SCORES}


def score_box() -> None:
    """Draw which score of the patterns is chosen."""
    st.selectbox(
        "Score",
        SCORE.values,
        key=SCORE.name,
        format_func=lambda name: name.replace("_", " "),
        width=180,
        help="\n\n".join(f"**{n.replace('_', ' ')}**: {t}." for n, t in engine.SCORES.items()),
    )


def score_grid(seen: engine.AttentionOverview, run: str, shape: engine.Shape) -> engine.SiteGrid:
    """The score chosen of every head in one run, or ablated − clean."""
    score, signed = st.session_state["score"], run == "difference"
    name = f"{score.replace('_', ' ')}, {'ablated − clean' if signed else run}"
    no_mlps = np.full(shape.n_layers, np.nan)
    return engine.SiteGrid(scores_of(seen, run)[score], no_mlps, name, signed)


def attention_grid(
    e: engine.Experiment,
    shape: engine.Shape,
    answer: Answered[engine.AttentionOverview],
    chosen: Sequence[engine.Head],
) -> None:
    """Draw the thumbnails of the run and weights that the page's widgets say, with the bar that
    outlines the heads whose score comes first; `e`: what is named as switched."""
    open_circuit()
    ss, seen, run = st.session_state, answer.result, answer.run
    weight = ss["weight"]
    shown: engine.Thumbnails = getattr(seen, run)
    tint = score_grid(seen, run, shape)
    sets = {"picked": _cells(_named_heads(e, shape), shape), "chosen": _cells(chosen, shape)}
    header = {
        **sets,
        "rev": tell(_GRID, **sets),
        "layers": shape.n_layers,
        "heads": shape.n_heads,
        "absent": _absent(shape),
        "size": shown.shade.shape[-1],
        "most": shown.most,
        "signed": run == "difference",
        "unit": "ablated − clean" if run == "difference" else WEIGHTS[weight].lower(),
        "verb": e.ablations.verb,
        "run": run,
        "scores": {name: _plain(values) for name, values in scores_of(seen, run).items()},
        "score": ss["score"],
        "orders": list(tint.orders),
        "marked": _cells(ticked(_TABLE, seen.heads), shape),
        "first": ss.get(ROLE, (0, 0)),
        "hint": f"{_HINT} The numbers: {ss['score'].replace('_', ' ')}.",
        "name": f"attention-{run}",
        "title": title(e, run, weight),
        "csv": scores_csv(seen),
    }
    components.attention_grid(
        header,
        shown.shade.tobytes(),
        key=_GRID,
        on_picked=lambda: _on_picked(shape),
        on_chosen=lambda: _on_chosen(shape),
        on_acted=lambda: _on_acted(shape, tint),
    )
    if seen.notes:
        st.caption(plain(" ".join(seen.notes)))
    python_of(overview_python(answer.e, run, weight == "value", pixels(shape)), "attention_grid")


def title(e: engine.Experiment, run: str, weight: str) -> str:
    """What a download says above its drawing."""
    weighted = " × length of the value" if weight == "value" else ""
    sentence = "ablated − clean" if run == "difference" else run
    return f"{e.model}: attention{weighted}, {sentence}"


def overview_python(e: engine.Experiment, run: str, weighted: bool, size: int) -> str:
    """Code whose `shown` holds the thumbnails and `scores` the scores that are drawn."""
    scores = (
        "{\n    name: getattr(seen.ablated_scores, name) - getattr(seen.clean_scores, name)\n"
        "    for name in engine.SCORES\n}"
        if run == "difference"
        else f"vars(seen.{run}_scores)"
    )
    return (
        f"import switchboard as engine\n\ne = {e.to_python()}\n"
        f"seen = engine.attention_overview(e, size={size}, weighted={weighted})\n"
        f"shown = seen.{run}  # .shade [layer head_index row col], 127 stands for .most\n"
        f"scores = {scores}  # each [layer head_index]\n"
    )


def _named_heads(e: engine.Experiment, shape: engine.Shape) -> list[engine.Head]:
    sites = engine.resolve_sites(present_sites(e.ablations.sites, shape), shape)
    return [site for site in sites if isinstance(site, engine.Head)]


def _cells(heads: Sequence[engine.Head], shape: engine.Shape) -> list[int]:
    return sorted(head.layer * shape.n_heads + head.head for head in heads)


def _heads(cells: object, shape: engine.Shape) -> list[engine.Head]:
    """The heads of cells as the browser tells them; what is no cell is left out."""
    result, there = [], set(shape.heads)
    for cell in cells if isinstance(cells, list) else ():
        with contextlib.suppress(TypeError, ValueError):
            head = engine.Head(*divmod(int(cell), shape.n_heads))
            if head in there:
                result.append(head)
    return list(dict.fromkeys(result))


def _absent(shape: engine.Shape) -> list[int]:
    """The cells of layers without heads."""
    return [
        layer * shape.n_heads + h for layer in shape.without_heads for h in range(shape.n_heads)
    ]


def _on_picked(shape: engine.Shape) -> None:
    new, gone = turned_over(_GRID, "picked", st.session_state[_GRID]["picked"])
    set_cells(_heads(new, shape), _heads(gone, shape), shape)


def _on_chosen(shape: engine.Shape) -> None:
    new, gone = turned_over(_GRID, "chosen", st.session_state[_GRID]["chosen"])
    away = _heads(gone, shape)
    kept: list[engine.Head] = []
    with contextlib.suppress(engine.EngineError):
        kept = [head for head in chosen_heads(shape) if head not in away]
    st.session_state["heads"] = engine.print_sites([*_heads(new, shape), *kept])


def _on_acted(shape: engine.Shape, tint: engine.SiteGrid) -> None:
    asked = st.session_state[_GRID]["acted"]
    if isinstance(asked, dict):
        act_on(_heads(asked.get("cells"), shape), asked, tint, shape)


def _plain(values: np.ndarray) -> list[float | None]:
    return [None if math.isnan(x) else round(float(x), 4) for x in values.ravel()]


def scores_csv(seen: engine.AttentionOverview) -> str:
    """Every score of every head, clean and ablated; empty where the prompt has no such token."""
    columns = {
        f"{run}_{name}": values
        for run in ("clean", "ablated")
        for name, values in scores_of(seen, run).items()
    }
    lines = [",".join(["layer", "head", *columns])]
    for layer, head in ((one.layer, one.head) for one in seen.heads):
        cells = (values[layer, head] for values in columns.values())
        written = ("" if math.isnan(x) else f"{x:.6g}" for x in cells)
        lines.append(",".join([str(layer), str(head), *written]))
    return "\n".join(lines) + "\n"


def score_table(answer: Answered[engine.AttentionOverview], shape: engine.Shape) -> None:
    """Every head's scores in the run shown; a click on a column's name sorts by it."""
    e, seen, run = answer.e, answer.result, answer.run
    named, keeps = set(_named_heads(e, shape)), e.ablations.verb == "keep"
    every = seen.heads
    at = [head.layer for head in every], [head.head for head in every]
    scores = scores_of(seen, run)
    table_of_sites(
        {
            "layer": [head.layer for head in every],
            "head": [head.head for head in every],
            "off": [(head in named) != keeps for head in every],
            **{name: values[at] for name, values in scores.items()},
        },
        _TABLE,
        column_config={
            name: st.column_config.NumberColumn(
                name.replace("_", " "), format="%.3f", help=f"{about}."
            )
            for name, about in engine.SCORES.items()
        },
        height=320,
    )
    st.caption(
        "Rows that are ticked are outlined in the grid above. Its CSV and Python hold these "
        "scores, clean and ablated."
    )


def default_heads(shape: engine.Shape) -> None:
    """Where nobody has chosen heads, choose the first there is; before the box is drawn."""
    if st.session_state["heads"] == HEADS.default and 0 in shape.without_heads:
        st.session_state["heads"] = str(shape.heads[0])


def chosen_heads(shape: engine.Shape) -> list[engine.Head]:
    """The heads named in the page's box. Raises: SiteError for what is no head of the model."""
    sites = engine.resolve_sites(engine.parse_sites(st.session_state["heads"] or ""), shape)
    for site in sites:
        if not isinstance(site, engine.Head):
            raise engine.SiteError(f"{site} has no attention pattern; name heads, such as 2.1.")
    return [site for site in sites if isinstance(site, engine.Head)]
