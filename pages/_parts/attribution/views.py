"""Direct attribution as the page shows it: its sum, its parts, and within one head or one MLP."""

from __future__ import annotations

import streamlit as st

import engine
from pages._parts import state
from pages._parts.boxes import written
from pages._parts.figure import figure
from pages._parts.layout import errors_shown
from pages._parts.metric import metric
from pages._parts.refusals import Answered
from pages._parts.table import Rows, as_csv, python_for, show_rows, table, table_of_sites, ticked
from pages._parts.text import plain, signed, visible

Seen = Answered[engine.DirectAttribution]
RUNS = {"clean": "Clean", "ablated": "Ablated", "difference": "Difference"}
SHOWN = {
    "parts": "all parts",
    "sources": "a head by token",
    "neurons": "an MLP by neuron",
    "total": "beside the total effect",
    "gradients": "by gradient",
}
_TABLE = "attributed_sites"
_MOST_NEURONS = 50


def summary(seen: Seen) -> None:
    """The logit difference of both runs, and what the parts of the run shown come to."""
    result = seen.result
    clean, ablated = result.clean, result.ablated
    with st.container(horizontal=True, gap="small"):
        st.metric("Clean logit difference", signed(clean.logit_diff, 3), width="content")
        if seen.e.every_change:
            change = ablated.logit_diff - clean.logit_diff
            metric("Ablated", signed(ablated.logit_diff, 3), change, 3)


def told(seen: Seen) -> str:
    """How the numbers add up, sign and unit, and what they do not show."""
    result, runs = seen.result, ["clean"]
    if seen.e.every_change:
        runs.append("ablated")
    sums = []
    for run in runs:
        one = getattr(result, run)
        named = {
            "heads": one.heads,
            "MLPs": one.mlps,
            "embedding": one.embedding,
            "attention biases": one.attention_biases,
            "other": one.other,
            "final norm's bias": one.norm_bias,
            "unembedding's bias": one.unembed_bias,
            "cap": one.cap,
        }
        parts = ", ".join(f"{name} {signed(value, 3)}" for name, value in named.items() if value)
        rest = f"{one.rest:+.0e}".replace("-", "−")
        sums.append(f"{run}: {parts}, rest {rest} = {signed(one.logit_diff, 3)}")
    n = len(result.clean.sites.sites)
    return (
        f"Logits, what each of {n:,} heads and MLPs itself writes on this one prompt: above 0, "
        "blue, towards the answer, below 0, red, towards the distractor; difference is ablated − "
        "clean. Each run has the scale of its own final norm. What a part does through later ones "
        f"is not in it. {'; '.join(sums)}."
    )


def part_rows(seen: Seen) -> Rows:
    """The heads and MLPs, those first that write most in the run shown; then all else."""
    rows, grid = seen.result.table(), seen.result.sites(seen.run)
    n, column = len(grid.sites), {"difference": "change"}.get(seen.run, seen.run)
    sites = sorted(rows[:n], key=lambda row: -abs(float(str(row[column]))))
    return sites + rows[n:]


def ticked_sites(seen: Seen) -> list[engine.Site]:
    """The sites that are ticked in the table of parts."""
    n = len(seen.result.clean.sites.sites)
    if st.session_state["attributed"] != "parts":
        return []
    return ticked(_TABLE, [engine.parse_sites(row["site"])[0] for row in part_rows(seen)[:n]])


def parts(seen: Seen) -> None:
    """Every part with its numbers, to be ticked."""
    rows = part_rows(seen)
    n = len(seen.result.clean.sites.sites)
    with st.container(key="attributed_parts"):
        table_of_sites([_rounded(row) for row in rows[:n]], _TABLE, height=330)
        others = [row for row in rows[n:] if row["clean"] or row["ablated"]]
        show_rows([_rounded(row) for row in others])


def picture(seen: Seen) -> None:
    """The numbers of heads and MLPs as a figure, with the downloads of all parts."""
    figure(
        seen.result.figure(seen.run),
        f"direct-attribution-{seen.run}",
        csv=as_csv(seen.result.table()),
        python=python_for(f"direct_attribution({seen.e.to_python()})"),
        key="attribution_figure",
    )


def sources(seen: Seen) -> None:
    """What one head writes, by the token whose value it brought."""
    head = _chosen("source_head", "Head", seen, engine.Head)
    if head is None:
        return
    result = engine.source_attribution(seen.e, head, view=state.view())
    figure(
        result.figure(),
        f"direct-attribution-{head}",
        csv=as_csv(result.table()),
        python=python_for(f"source_attribution({seen.e.to_python()}, {str(head)!r})"),
        key="sources_figure",
    )
    sums = f"{signed(result.clean.total, 3)} clean"
    if seen.e.every_change:
        sums += f", {signed(result.ablated.total, 3)} ablated"
    place = f"{len(result.texts) - 1} {visible(result.texts[-1])}"
    st.caption(
        plain(
            f"What {head} brings to position {place}: attention × value × output weights, in "
            f"logits, up is towards the answer. The tokens add up to the head's number, {sums}. "
            f"{' '.join(result.notes)}"
        )
    )


def neurons(seen: Seen) -> None:
    """What the neurons of one MLP write."""
    mlp = _chosen("neurons_of", "MLP", seen, engine.MLP)
    if mlp is None:
        return
    result = engine.neuron_attribution(seen.e, mlp, view=state.view())
    rows = result.table(seen.run)
    table(
        rows,
        f"direct-attribution-{mlp}",
        python_for(f"neuron_attribution({seen.e.to_python()}, {str(mlp)!r})"),
        shown=[_rounded(row) for row in rows[:_MOST_NEURONS]],
    )
    one = result.ablated if seen.run == "ablated" else result.clean
    most = f" Those {_MOST_NEURONS} that write most" if len(rows) > _MOST_NEURONS else " All"
    st.caption(
        plain(
            f"Activation × output weights, in logits, above 0 towards the answer.{most} of "
            f"{len(rows):,}; all and the MLP's own bias ({signed(one.bias, 3)}) add up to its "
            f"number, {signed(one.total, 3)} ({'ablated' if seen.run == 'ablated' else 'clean'}). "
            f"{' '.join(result.notes)}"
        )
    )


def _chosen(key: str, label: str, seen: Seen, kind: type[engine.Site]) -> engine.Site | None:
    """The site in a box; without one the site that writes most in the run shown."""
    grid = seen.result.sites(seen.run)
    sites = [site for site in grid.sites if isinstance(site, kind)]
    first = max(sites, key=lambda site: abs(grid[site]), default=None)
    st.text_input(
        label,
        key=key,
        placeholder=f"{first}: writes most" if first else "",
        width=220,
        help="9.1 is head 1 of layer 9, m9 its MLP; empty, the one that writes most.",
    )
    if not written(key):
        return first
    chosen: engine.Site | None = None
    with errors_shown():
        sites_named = engine.parse_sites(written(key))
        engine.resolve_sites(sites_named, st.session_state["_shape"])
        if len(sites_named) != 1 or not isinstance(sites_named[0], kind):
            raise engine.SiteError(f"{label}: “{written(key)[:40]}” is not one {label}.")
        chosen = sites_named[0]
    return chosen


def _rounded(row: dict[str, object]) -> dict[str, object]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
