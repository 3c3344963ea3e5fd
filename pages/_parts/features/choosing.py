"""Which SAE the page is about: one that ships, one that was read or trained in this session, or one
that the link names."""

from __future__ import annotations

import tempfile
from pathlib import Path

import streamlit as st

import engine
from pages._parts import state
from pages._parts.layout import errors_shown
from pages._parts.neurons.switching import name_sae
from pages._parts.text import plain

_READ, _BOX = "_saes_read", "_sae_chosen"


def chosen_sae(e: engine.Experiment) -> engine.Sae | None:
    """Draw the choice. Returns: the SAE, None where there is none for this model."""
    known = known_saes(e)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        if known:
            names = {str(one): one for one in known}
            now = str(known[0])
            st.session_state[_BOX] = now
            st.selectbox(
                "SAE",
                list(names),
                key=_BOX,
                format_func=lambda text: f"{names[text].name}, {names[text].site}",
                width=240,
                on_change=_choose,
                args=(names,),
            )
        with st.popover("Read a folder", icon=":material/folder_open:"):
            _upload()
    return known[0] if known else None


def note_sae(sae: engine.Sae) -> None:
    """Offer one from now on, in this session."""
    kept = [one for one in st.session_state.get(_READ, ()) if one != sae]
    st.session_state[_READ] = [sae, *kept]


def use_sae(sae: engine.Sae) -> None:
    """Offer one, and have the page be about it; in a callback."""
    note_sae(sae)
    name_sae(sae)


def known_saes(e: engine.Experiment) -> list[engine.Sae]:
    """Those there are, first the one that the experiment names first."""
    ships = []
    for name in engine.bundled_saes():
        sae = engine.bundled_sae(name)
        if engine.sae_shape(sae).model == Path(e.model).name:
            ships.append(sae)
    return list(dict.fromkeys([*e.saes, *ships, *st.session_state.get(_READ, ())]))


def _choose(names: dict[str, engine.Sae]) -> None:
    name_sae(names[st.session_state[_BOX]])


def _upload() -> None:
    """The two files of a folder, as SAELens and sparsify write them."""
    st.caption(
        "cfg.json with sae_weights.safetensors (SAELens) or sae.safetensors (sparsify). What is "
        "read is kept on this machine, and the link names it by what it holds."
    )
    files = st.file_uploader(
        "The folder's files",
        type=["json", "safetensors"],
        accept_multiple_files=True,
        key="_sae_files",
        max_upload_size=1000,
    )
    name = st.text_input("Name", key="_sae_name", placeholder="mine")
    site = st.text_input("Site", key="_sae_folder_site", placeholder="as the folder says")
    if not files or not st.button("Read", icon=":material/check:"):
        return
    with errors_shown():
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "sae"
            folder.mkdir()
            for file in files:
                (folder / Path(file.name).name).write_bytes(file.getvalue())
            sae = engine.read_sae(folder, (name or "").strip() or "mine", (site or "").strip())
        use_sae(sae)
        st.success(plain(f"{sae.name} is of {sae.site}."))
        state.run_anew()
