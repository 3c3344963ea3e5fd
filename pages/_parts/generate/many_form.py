"""Many prompts as they are asked: where they come from, the sets and controls they go through."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

import engine
from pages._parts.boxes import MATCHED, choice, whole
from pages._parts.generate import settings
from pages._parts.generate.fields import FAMILY, FAMILY_STYLE
from pages._parts.styles import HELP, style_of
from pages._parts.text import File, unescaped, uploaded

SOURCES = {"family": "A task family", "written": "Paste or upload"}
_MOST_SETS = 20
_HELP = (
    "One a line, \\n for a line break within it; its answer behind a tab, or behind => in a line "
    "such as `1 2 3 => 4`. The leading space of the answer counts: behind => one is put in front."
)


def python(question: engine.GenerateMany, written: str, printed: str) -> str:
    """Code that prints the rows of `printed`, an expression of `result`; `written`:
    the Python of the prompts."""
    return (
        f"import switchboard as engine\n\ne = {question.e.to_python()}\nprompts = {written}\n"
        f"result = {question.to_python(e='e', prompts='prompts')}.result()\n"
        f"for row in {printed}:\n    print(row)\n"
    )


def prompts_form() -> tuple[str, tuple[engine.Example, ...], str]:
    """Draw where the prompts come from. Returns: them as Python, themselves, what is wrong."""
    ss = st.session_state
    choice("Prompts", "source", SOURCES)
    try:
        if ss["source"] == "family":
            with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
                st.selectbox("Family", FAMILY.values, key="family", width=170)
                if engine.styles_of(ss["family"]):
                    st.selectbox(
                        "Style", FAMILY_STYLE.values, key="family_style", width=100, help=HELP
                    )
                st.text_input("How many", key="n_prompts", width=80)
            n, seed = whole("n_prompts", "How many"), whole("seed", "Seed")
            style = style_of(ss["family"], ss["family_style"])
            named = "" if style == FAMILY_STYLE.default else f", style={style!r}"
            call = f"engine.examples({ss['family']!r}, {n}, seed={seed}{named})"
            drawn = engine.examples(ss["family"], n, seed, style)
            if len(drawn) < n:
                st.caption(f"This family has {len(drawn)} different prompts; each is taken once.")
            return call, drawn, ""
        st.text_area("Prompts, one a line", key="prompts", height=120, help=_HELP)
        file = st.file_uploader(
            "or a file",
            type=["txt", "tsv", "csv"],
            key="prompts_file",
            help="UTF-8. A .txt or .tsv as above; a .csv has columns “prompt” and “answer”, or "
            "these two first. A file is not part of the link.",
            max_upload_size=5,
        )
        result = _written(ss["prompts"] or "")
        if file is not None:
            result += _of_file(file)
    except engine.EngineError as wrong:
        return "", (), str(wrong)
    inside = ", ".join(f"engine.Example('', {one.prompt!r}, {one.answer!r})" for one in result)
    return f"[{inside}]", result, ""


def _written(text: str) -> tuple[engine.Example, ...]:
    lines = []
    for line in text.replace("\r\n", "\n").split("\n"):
        prompt, arrow, answer = line.partition("=>")
        lines.append(
            f"{prompt.rstrip()}\t {answer.strip()}" if arrow and "\t" not in line else line
        )
    result = engine.read_examples("\n".join(lines))
    return tuple(engine.Example("", unescaped(one.prompt), unescaped(one.answer)) for one in result)


def _of_file(file: File) -> tuple[engine.Example, ...]:
    text = uploaded(file)
    if not file.name.lower().endswith((".csv", ".tsv")):
        return _written(text)
    rows = engine.read_csv(text, ("prompt", "answer"), extra=True, unnamed=True)
    return tuple(engine.Example("", row["prompt"], row.get("answer", "")) for _, row in rows)


def sets_form() -> None:
    """Draw what else is held against the grid's own set: others, and random controls."""
    with st.container(horizontal=True, gap="small"):
        st.text_input(
            "Random controls of each set",
            key="controls",
            width=200,
            help="As many heads, MLPs and neurons, drawn without overlap, with the seed above.",
        )
        choice("Controls are", "matched", MATCHED)
    st.text_area(
        "Other sets to hold against the grid's",
        key="sets",
        height=98,
        placeholder="early: a0\nlate: 3-5.*",
        help="One a line: a name, a colon, its sites, such as `early: a0 m1` or "
        "`circuit: keep 0.1 2.3`. The grid's own set is called “ablated”.",
    )


def question_of(e: engine.Experiment, prompts: tuple[engine.Example, ...]) -> engine.GenerateMany:
    """What the widgets ask of these prompts. Raises: EngineError for what cannot be read."""
    ss = st.session_state
    sets = {"ablated": e.ablations} if e.every_change else {}
    for line in (ss["sets"] or "").split("\n"):
        if not line.strip():
            continue
        name, colon, sites = (part.strip() for part in line.partition(":"))
        if not colon or not name:
            raise engine.EngineError(
                f"“{line.strip()[:40]}” is no set: write its name, a colon, and its sites, such as "
                "early: a0 m1."
            )
        if name in ("clean", *sets):
            raise engine.EngineError(f"There are two sets called “{name[:40]}”; rename one.")
        sets[name] = engine.ablations(sites)
    if len(sets) > _MOST_SETS:
        raise engine.EngineError(f"{len(sets)} sets are named; at most {_MOST_SETS}.")
    sampling = settings.sampling(e).sampling
    controls = whole("controls", "Random controls") if ss["controls"] else 0
    if controls:
        sampling["seed"] = whole("seed", "Seed")
        if not sets:
            raise engine.EngineError(
                "Controls need a set to be held against: switch some heads off, or name a set."
            )
    return engine.GenerateMany(
        # of its prompt and its own ablations nothing is asked here
        replace(e, prompt="", answer="", distractor="", ablations=engine.Ablations()),
        prompts,
        settings.n_tokens(),
        tuple(sets.items()),
        controls,
        ss["matched"] == "layer",
        **sampling,
    )
