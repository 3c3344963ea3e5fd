"""The head grid, its list of what is switched, and undo and clear, around an experiment's sites;
and what a click does with the sites that are outlined in a tinted grid."""

import contextlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

import engine
from pages._parts import components, state, undo
from pages._parts.cells import tell, turned_over
from pages._parts.circuits import library

_GRID = "head_grid"
_OPENS = "_opens_circuit"
_MOST_CHIPS = 60


def switches(
    ablations: engine.Ablations,
    shape: engine.Shape,
    tint: engine.SiteGrid | None = None,
    ticked: Iterable[engine.Site] = (),
) -> None:
    """Draw the switches. `tint` colours the cells, as its figure does, and gives them the bar by
    which those that come first are outlined. `ticked`: the sites of a table's rows, which are
    outlined instead once they change."""
    open_circuit()
    folded = engine.fold_sites(present_sites(ablations.sites, shape), shape)
    picked = _cells(folded, shape)
    chips = [[str(site), str(site)] for site in folded[:_MOST_CHIPS]]
    components.head_grid(
        {
            "layers": shape.n_layers,
            "heads": shape.n_heads,
            "absent": _absent(shape),
            "picked": picked,
            "rev": tell(_GRID, picked=picked),
            "verb": ablations.verb,
            "mlps": ablations.mlps,
            "values": tint and tint.tint(),
            "value_name": _told(tint) if tint else "",
            "orders": list(tint.orders) if tint else [],
            "guesses": _cells([*tint.inexact], shape) if tint else [],
            "marked": _cells([*ticked], shape),
            "colours": {**tint.colours, "zero": tint.zero} if tint else None,
            "chips": chips,
            "hint": "Click, drag or shift-click cells; row and column names switch them all.",
        },
        key=_GRID,
        on_picked=lambda: _on_picked(shape),
        on_removed=lambda: _on_removed(shape),
        on_acted=lambda: _on_acted(shape, tint),
    )
    if len(folded) > _MOST_CHIPS:
        st.caption(f"… and {len(folded) - _MOST_CHIPS} more; the box below names all.")
    sites_box(ablations)


def not_known(shape: engine.Shape) -> engine.SiteGrid:
    """The tint of switches of whose numbers nothing is known yet: the bar has its place."""
    return engine.SiteGrid.of(shape, {}, "not known yet")


def sites_box(ablations: engine.Ablations) -> None:
    """The sites as text, with undo and clear."""
    st.text_input(
        "Sites",
        key="sites",
        help="9.1 is head 1 of layer 9, m9 its MLP, a9 all its heads, n9.123 one of its neurons; "
        "9.1.q (k, v) is what a head's query (key, value) projection gives, 9.1.pattern its "
        "attention; r9 is the residual stream entering layer 9, r9.mid that between its attention "
        "and its MLP; f9.123 is a feature of an SAE. 0-3.5 is a range. The grid shows heads and "
        "MLPs, and this box and the grid follow each other.",
    )
    with st.container(horizontal=True):
        st.button("Undo", on_click=undo.undo, disabled=not undo.can_undo(), icon=":material/undo:")
        st.button(
            "Clear",
            on_click=_clear,
            disabled=not (ablations or st.session_state["changes"]),
            icon=":material/backspace:",
        )


def set_cells(
    new: Iterable[engine.Site], gone: Collection[engine.Site], shape: engine.Shape
) -> None:
    """Name these heads and MLPs too, and those that are `gone` no more; in a callback. Neurons and
    what the model does not have stay."""
    named = _named()
    present = present_sites(named, shape)
    kept = [site for site in engine.resolve_sites(present, shape) if site not in gone]
    absent = [site for site in named if site not in present]
    state.set_sites([*engine.fold_sites([*kept, *new], shape), *absent])


def act_on(
    sites: Collection[engine.Site],
    asked: dict[str, Any],
    tint: engine.SiteGrid,
    shape: engine.Shape,
) -> None:
    """Do what is `asked` of sites that are outlined: switch them off, keep only them, or make them
    a circuit, which is opened; in a callback. `tint`: the numbers by which they were outlined.

    Where only heads were ranked (not `mlps`), what is kept keeps all MLPs.
    """
    ss = st.session_state
    e = state.read().experiment
    kept = engine.Ablations(engine.fold_sites(sites, shape), "keep", bool(asked.get("mlps")))
    match asked.get("what"):
        case "off" if sites:
            state.set_ablations(without(sites, e.ablations, shape))
        case "keep" if sites:
            state.set_ablations(kept)
        case "circuit" if sites:
            task = ss["task"] if ss["over"] == "family" else ""
            name = f"{len(sites)} by {_told(tint)}"
            library.add([engine.circuit_left(kept, shape, name, e.model, task, e.method)])
            ss["do"], ss[_OPENS] = "evaluate", True


def open_paths(senders: Iterable[engine.Site]) -> None:
    """Have the paths from these sites opened, into what is chosen there, patched from the corrupted
    run where nothing else is switched; in a callback."""
    ss = st.session_state
    if not ss["sites"]:
        ss["method"] = "resample"
    ss["do"], ss["paths"] = "edges", "chosen"
    ss["senders"] = engine.print_sites(dict.fromkeys(senders))
    ss[_OPENS] = True


def open_circuit() -> None:
    """Turn to the circuit that was made of what was outlined, or to its paths, if asked to."""
    if st.session_state.pop(_OPENS, False):
        st.switch_page("pages/circuits.py")


def without(
    sites: Collection[engine.Site], now: engine.Ablations, shape: engine.Shape
) -> engine.Ablations:
    """What is switched now, with these heads and MLPs off too; the verb stays."""
    present = present_sites(now.sites, shape)
    absent = [site for site in now.sites if site not in present]
    if now.verb == "ablate":
        return replace(now, sites=(*engine.fold_sites([*present, *sites], shape), *absent))
    named, mlps = set(engine.resolve_sites(present, shape)), now.mlps
    if not mlps and any(isinstance(site, engine.MLP) for site in sites):
        mlps, named = True, {*named, *shape.mlps}  # those that stay on are named from now on
    left = engine.fold_sites(named.difference(sites), shape)
    return engine.Ablations((*left, *absent), "keep", mlps)


def _told(tint: engine.SiteGrid) -> str:
    return tint.name.replace("\n", ", ")


def _cells(sites: Sequence[engine.Site], shape: engine.Shape) -> list[int]:
    width, cells = shape.n_heads + 1, []
    for site in engine.resolve_sites(sites, shape):
        match site:
            case engine.Head(layer, head):
                cells.append(layer * width + head)
            case engine.MLP(layer):
                cells.append(layer * width + shape.n_heads)
    return sorted(cells)


def _by_cell(shape: engine.Shape) -> dict[int, engine.Site]:
    """The heads and MLPs there are, by their cell in the grid."""
    width = shape.n_heads + 1
    heads = {head.layer * width + head.head: head for head in shape.heads}
    return {**heads, **{mlp.layer * width + shape.n_heads: mlp for mlp in shape.mlps}}


def _absent(shape: engine.Shape) -> list[int]:
    """The cells of a hybrid in which there is nothing to be switched."""
    there = _by_cell(shape)
    return [cell for cell in range(shape.n_layers * (shape.n_heads + 1)) if cell not in there]


def _on_picked(shape: engine.Shape) -> None:
    there = _by_cell(shape)
    new, gone = turned_over(_GRID, "picked", st.session_state[_GRID]["picked"])
    set_cells([there[i] for i in new if i in there], [there[i] for i in gone if i in there], shape)


def _on_acted(shape: engine.Shape, tint: engine.SiteGrid | None) -> None:
    asked = st.session_state[_GRID]["acted"]
    if tint is not None and isinstance(asked, dict):
        there = _by_cell(shape)
        cells = asked["cells"] if isinstance(asked.get("cells"), list) else ()
        sites = [there[cell] for cell in cells if isinstance(cell, int) and cell in there]
        act_on(sites, asked, tint, shape)


def _on_removed(shape: engine.Shape) -> None:
    removed = st.session_state[_GRID]["removed"]
    named = _named()
    present = present_sites(named, shape)
    folded = engine.fold_sites(present, shape)
    others = [site for site in named if site not in present]
    state.set_sites(site for site in (*folded, *others) if str(site) != removed)


def _named() -> tuple[engine.Site, ...]:
    """The sites in the box; none where it cannot be read, which the page says."""
    try:
        return engine.parse_sites(st.session_state["sites"])
    except engine.SiteError:
        return ()


def present_sites(sites: Sequence[engine.Site], shape: engine.Shape) -> list[engine.Site]:
    """Those of the sites that the model has; the others are told where the experiment is run."""
    result = []
    for site in sites:
        with contextlib.suppress(engine.SiteError):
            engine.resolve_sites([site], shape)
            result.append(site)
    return result


def _clear() -> None:
    state.set_ablations(engine.Ablations())
    state.set_changes(())
