"""`make circuits`: find the bundled models' own circuits for numerals, number words and months.

Each is searched greedily on pairs the model gets right, judged on others beside random circuits,
compared with the other two, and what two of them share is tried on the third task. Writes the
circuits to `assets/circuits` (the dashboard's shelf) with `bundled.md`, which docs/circuits.md
quotes, and the figure `assets/circuits.png`.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from plotly.subplots import make_subplots

import engine
from benchmarks.driving import chromium

ASSETS = Path(__file__).resolve().parent.parent / "assets"
MODELS = ("seq-gpt2", "seq-llama")
PAIRS = {"numerals": 12, "number words": 8, "months": 6}
"""Pairs searched on: of families with few prompts half of these, so that others are left."""
THRESHOLD, CONTROLS = 0.2, 20
_HEAD, _MLP, _REST, _PAPER = (engine.PALETTE[kind] for kind in ("head", "mlp", "rest", "paper"))

Found = dict[str, tuple[engine.Task, engine.Discovery]]


def main() -> None:
    """Find, compare, write and draw."""
    every: dict[str, Found] = {}
    lines: list[str] = []
    for model in MODELS:
        every[model] = {family: search(family, model) for family in PAIRS}
        lines += told(model, every[model])
        for family, (_, found) in every[model].items():
            name = f"{model}-{family.replace(' ', '-')}.json"
            (ASSETS / "circuits" / name).write_text(own(found, family).to_json(), "utf-8")
    (ASSETS / "circuits" / "bundled.md").write_text("\n".join(lines) + "\n", "utf-8")
    print("\n".join(lines))
    picture(drawn(every))


def search(family: str, model: str) -> tuple[engine.Task, engine.Discovery]:
    """A family's circuit, and the pairs it is judged on."""
    task = engine.task(family, model, PAIRS[family])
    task = task.without_wrong(engine.score_task(model, task))
    fresh = engine.fresh_task(task)
    found = engine.discover(
        task, model, by="greedy", threshold=THRESHOLD, controls=CONTROLS, fresh=fresh
    )
    return fresh or task, found


def own(found: engine.Discovery, family: str) -> engine.Circuit:
    """The circuit as it goes on the shelf."""
    return replace(
        found.circuit,
        name=f"{found.circuit.model}, {family}",
        source="This project: make circuits",
    )


def told(model: str, found: Found) -> list[str]:
    """A model's circuits, and how they compare, as Markdown."""
    rows = []
    for family, (_, one) in found.items():
        e = one.evaluation
        assert e is not None, one.unevaluated
        where = f"{len(e.clean.logit_diff)} {'fresh' if one.fresh else 'of the same'}"
        span = "none could be drawn"
        if e.controls is not None:
            shares = [e.share(float(s)) for s in e.controls.kept]
            like = "of the same layers" if e.controls.layer_matched else "of any layer"
            span = (
                f"{_percent(sum(shares) / len(shares))} (at most {_percent(max(shares))}), {like}"
            )
        rows.append(
            f"| {family} | {len(one.circuit.heads)} heads, {len(one.circuit.mlps)} MLPs | "
            f"{_percent(1 - one.loss)} | {_percent(e.faithfulness)} of {where} | {span} | "
            f"{_percent(e.completeness)} |"
        )
    lines = [
        f"**{model}**",
        "",
        "| task | circuit | keeps, where found | keeps, judged on pairs | random circuits keep | "
        "left without it |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        "| circuits | share | Jaccard index, by chance | their intersection on the third task |",
        "|---|---|---|---|",
    ]
    for a, b in itertools.combinations(found, 2):
        (third,) = (family for family in found if family not in (a, b))
        both = found[a][1].circuit.intersection(found[b][1].circuit)
        over = engine.overlap(found[a][1].circuit, found[b][1].circuit)
        task, _ = found[third]
        e = engine.evaluate(both, task, CONTROLS, layer_matched=False, minimality=False)
        beaten = "no controls" if e.kept_beats is None else f"beats {_percent(e.kept_beats)}"
        lines.append(
            f"| {a} & {b} | {len(over.shared)} of {len(over.a.sites)} and {len(over.b.sites)} | "
            f"{over.jaccard:.2f}, {over.chance:.2f} | {third}: {_percent(e.faithfulness)} kept, "
            f"{beaten} of its controls |"
        )
    return [*lines, ""]


def drawn(every: dict[str, Found]) -> go.Figure:
    """A row a model, a column a task: heads and MLPs kept, and what the circuit keeps."""
    titles = [
        f"{model}, {family}: {len(one.circuit.heads)} heads, {len(one.circuit.mlps)} MLPs"
        for model, found in every.items()
        for family, (_, one) in found.items()
    ]
    figure = make_subplots(
        rows=len(every), cols=len(PAIRS), subplot_titles=titles, horizontal_spacing=0.05,
        vertical_spacing=0.14,
    )  # fmt: skip
    scale = [(0.0, _REST), (0.33, _REST), (0.34, _HEAD), (0.66, _HEAD), (0.67, _MLP), (1.0, _MLP)]
    for row, found in enumerate(every.values(), 1):
        for column, (_, one) in enumerate(found.values(), 1):
            c = one.circuit
            z: list[list[float | None]] = [
                [*([0.0] * c.n_heads), None, 0.0] for _ in range(c.n_layers)
            ]
            for head in c.heads:
                z[head.layer][head.head] = 1.0
            for mlp in c.mlps:
                z[mlp.layer][c.n_heads + 1] = 2.0
            cells = go.Heatmap(
                z=z, xgap=2, ygap=2, zmin=0, zmax=2, colorscale=scale, showscale=False
            )
            figure.add_trace(cells, row=row, col=column)
            ticks = [*range(c.n_heads), c.n_heads + 1]
            figure.update_xaxes(
                tickvals=ticks, ticktext=[*map(str, range(c.n_heads)), "MLP"], ticklen=0,
                showgrid=False, title={"text": "head", "standoff": 4}, row=row, col=column,
            )  # fmt: skip
            figure.update_yaxes(
                autorange="reversed", dtick=1, ticklen=0, showgrid=False,
                title={"text": "layer", "standoff": 4}, row=row, col=column,
            )  # fmt: skip
    figure.update_layout(
        width=1180, height=620, plot_bgcolor=_PAPER, paper_bgcolor=_PAPER,
        margin={"l": 60, "r": 20, "t": 40, "b": 50}, font={"size": 12},
    )  # fmt: skip
    return figure


def picture(figure: go.Figure) -> None:
    """Write the figure as PNG, drawn by Chromium."""
    plain = json.loads(figure.to_json())
    with chromium() as browser:
        page = browser.new_page(device_scale_factor=2)
        page.set_content(f"<script>{get_plotlyjs()}</script><div id=f></div>")
        page.evaluate("f => Plotly.newPlot('f', f.data, f.layout)", plain)
        page.locator("#f .main-svg").first.screenshot(path=str(ASSETS / "circuits.png"))


def _percent(share: float) -> str:
    return f"{share:.0%}".replace("-", "−")


if __name__ == "__main__":
    main()
