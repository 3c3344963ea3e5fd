"""The grid of patches below the two prompts' tokens: layers down, and across these, or the heads;
what a click, a drag and the bar do with its cells."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import streamlit as st

import engine
from pages._parts import components, state
from pages._parts.cells import tell, turned_over
from pages._parts.patching.fields import WAY
from pages._parts.switches import act_on, open_circuit, open_paths

_GRID = "patch_grid"
_INTO = {"noise": "clean", "denoise": "corrupted"}
"""The prompt whose run is patched: what is dragged is dropped there."""
_HINT = {
    "noise": "Click a cell, or drag it or a token onto the clean prompt: patched in every view.",
    "denoise": "Click a cell, or drag it or a token onto the corrupted prompt: the prompts change "
    "places, and it is patched in every view.",
}
_ACTS = {"z": ["patch", "paths", "off", "circuit"], "mlp_out": ["patch", "paths"]}
"""What can be done with cells that are outlined, beside patching them."""


@dataclass(frozen=True)
class Cell:
    """A cell of the grid: its layer and head (0 for places of a layer), and the position patched,
    None for all of the experiment's."""

    layer: int
    head: int
    position: int | None


@dataclass(frozen=True)
class Cells:
    """What the grid shows, cell by cell, row by row, `n_columns` of them: heads, or the positions
    patched; a number each, NaN where there is none, and whether it is an estimate."""

    each: tuple[Cell, ...]
    n_columns: int
    values: np.ndarray
    guesses: tuple[int, ...]

    def index(self, layer: int, head: int, position: int | None) -> int | None:
        """Which of the cells that is, where it is one."""
        wanted = Cell(layer, head, position)
        return self.each.index(wanted) if wanted in self.each else None


def aspect_of(result: engine.PatchResult) -> str:
    """What is shown: what is chosen, or, where that is not there, the share."""
    aspect = str(st.session_state["patch_shows"])
    return "share" if aspect == "estimate" and result.estimate is None else aspect


def cells_of(result: engine.PatchResult, n_layers: int) -> Cells:
    """The cells of a patching; of heads position by position, each head's where its change is
    furthest from 0. Where nothing is exact yet, the estimate."""
    aspect = aspect_of(result)
    values, exact = result.shown(aspect), result.exact & (aspect != "estimate")
    if aspect == "share" and result.estimate is not None:
        values = np.where(np.isfinite(values) & exact, values, result.shown("estimate"))
    n_pos, _, n_heads = values.shape
    of_heads = result.place in engine.HEAD_PLACES
    positions = result.positions
    if of_heads:
        best = np.nan_to_num(np.abs(result.shown("change")), nan=-1.0).argmax(0)
        at = [(int(best[i, h]), i, h) for i in range(n_layers) for h in range(n_heads)]
    else:
        at = [(k, i, 0) for i in range(n_layers) for k in range(n_pos)]
    each = tuple(Cell(i, h, None if positions is None else positions[k]) for k, i, h in at)
    shown = np.array([values[one] for one in at])
    guesses = tuple(n for n, one in enumerate(at) if np.isfinite(shown[n]) and not exact[one])
    return Cells(each, n_heads if of_heads else n_pos, shown, guesses)


def _tokens(result: engine.PatchResult) -> list[dict[str, Any]]:
    """The positions across, or, above heads, all, each with either prompt's token and whether
    they differ, in any pair."""
    of_heads, differs = result.place in engine.HEAD_PLACES, result.differs
    return [
        {"position": p, "clean": clean or "·", "corrupted": other or "·", "differs": differs[p]}
        for p, clean, other in (result.tokens() if of_heads else result.columns())
    ]


def patch_grid(
    e: engine.Experiment,
    result: engine.PatchResult,
    shape: engine.Shape,
    marked: list[int],
) -> None:
    """Draw the cells. `e`: the experiment on the page, whose changes the cells that are patched
    are; `marked`: the cells of a table's ticked rows."""
    open_circuit()
    ss, cells = st.session_state, cells_of(result, shape.n_layers)
    there = [i for i, cell in enumerate(cells.each) if cell.layer in result.layers]
    picked = sorted(i for i in there if _change(result, cells.each[i]) in _made(e, result))
    aspect = aspect_of(result)
    signed, less = result.sense(aspect)
    look = engine.SiteGrid(cells.values[None], np.full(1, np.nan), "", signed, less)
    acts = _ACTS.get(result.place, ["patch"])
    components.head_grid(
        {
            "layers": shape.n_layers,
            "heads": cells.n_columns,
            "tokens": _tokens(result),
            "across": result.place not in engine.HEAD_PLACES,
            "into": _INTO[result.direction],
            "lands": [cell.position for cell in cells.each],
            "names": [_name(result, cell) for cell in cells.each],
            "acts": acts,
            "absent": [i for i in range(len(cells.each)) if i not in there],
            "picked": picked,
            "rev": tell(_GRID, picked=picked),
            "verb": "ablate",
            "mlps": False,
            "values": [None if np.isnan(v) else float(v) for v in cells.values],
            "value_name": result.name(aspect).replace("\n", ", "),
            "orders": list(look.orders),
            "guesses": list(cells.guesses),
            "marked": marked,
            "colours": {**look.colours, "zero": ""},
            "chips": [],
            "hint": _HINT[str(ss[WAY.name])],
        },
        key=_GRID,
        on_picked=lambda: _on_picked(result, cells),
        on_removed=lambda: None,
        on_acted=lambda: _on_acted(result, cells, shape),
        on_carried=lambda: _on_carried(result),
    )


def _name(result: engine.PatchResult, cell: Cell) -> str:
    change = _change(result, cell)
    where = "" if str(change.positions) == "all" else f" @{change.positions}"
    return f"{change.sites}{where}"


def _change(result: engine.PatchResult, cell: Cell) -> engine.Change:
    return result.change_of(cell.layer, cell.position, cell.head)


def _made(e: engine.Experiment, result: engine.PatchResult) -> set[engine.Change]:
    """The patches made: changes of an experiment whose corrupted prompt is what is patched from."""
    return set(e.changes) if result.direction == "noise" else set()


def _on_picked(result: engine.PatchResult, cells: Cells) -> None:
    both = turned_over(_GRID, "picked", st.session_state[_GRID]["picked"])
    there = range(len(cells.each))
    new, gone = ([_change(result, cells.each[i]) for i in some if i in there] for some in both)
    patch(result, new, {*gone})


def _on_acted(result: engine.PatchResult, cells: Cells, shape: engine.Shape) -> None:
    asked = st.session_state[_GRID]["acted"]
    if not isinstance(asked, dict):
        return
    named = asked.get("cells") if isinstance(asked.get("cells"), list) else ()
    some = [cells.each[i] for i in named or () if isinstance(i, int) and i < len(cells.each)]
    if asked.get("what") == "patch":
        patch(result, [_change(result, cell) for cell in some])
    elif asked.get("what") == "paths":
        open_paths(site for cell in some for site in _change(result, cell).sites.sites)
    elif result.place == "z":
        act_on([engine.Head(c.layer, c.head) for c in some], asked, result.grid(), shape)


def _on_carried(result: engine.PatchResult) -> None:
    """A token was carried from one prompt to the other: what enters layer 0 there is patched."""
    position = st.session_state[_GRID]["carried"]
    if position in (token["position"] for token in _tokens(result)):
        patch(result, [engine.Change("r0", "resample", engine.Positions.parse(position))])


def patch(
    result: engine.PatchResult,
    new: list[engine.Change],
    gone: set[engine.Change] | frozenset[engine.Change] = frozenset(),
) -> None:
    """Make patches changes of the experiment, and undo those that are `gone`; in a callback. Of
    denoising the prompts change places first: what is patched is always the experiment's prompt."""
    ss, e = st.session_state, state.read().experiment
    if result.direction == "denoise":
        state.turn_into(e, replace(e, prompt=e.corrupted, corrupted=e.prompt))
        ss[WAY.name] = "noise"
    kept = [change for change in e.changes if change not in gone]
    state.set_changes([*kept, *(change for change in new if change not in kept)])
