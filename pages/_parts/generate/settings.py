"""How a text is to be generated: the widgets, and what they say as a value."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

import engine
from pages._parts.boxes import choice, number, whole, written
from pages._parts.generate.fields import UNUSUAL

IDS = {"append": "appended", "retokenize": "tokenized anew"}
ACTS = {"start": "from the start", "here": "from this step on"}
BRANCH = {"both": "both runs", "one": "its own run"}
POSITIONS = {"all": "Everything", "prompt": "Prompt only", "generated": "Generated only"}
_NUMBERS = {
    "new_tokens": ("New tokens", 105, "How many tokens to take; each run ends at its end of text."),
    "temperature": ("Temperature", 105, "0 is greedy: the likeliest token is taken."),
    "top_k": ("Top-k", 85, "Only the k likeliest can be drawn; empty is all."),
    "top_p": (
        "Top-p",
        85,
        "Only the fewest likeliest that together have this probability; empty is all.",
    ),
    "seed": ("Seed", 85, "Both runs draw with the same luck; the same seed gives the same text."),
}
_SAMPLING = ("top_k", "top_p", "seed")


@dataclass(frozen=True)
class Asked:
    """A generation, as it is asked for, but for how many tokens.

    `prefix` and `ablated_prefix` are chosen ids that stand first in each run. `earlier`: which
    ablations acted before which step, in order; behind them the experiment's own act.
    """

    e: engine.Experiment
    temperature: float = 0.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    prefix: tuple[int, ...] = ()
    ablated_prefix: tuple[int, ...] = ()
    from_step: int = 0
    until_step: int | None = None
    earlier: tuple[tuple[int, str], ...] = ()
    retokenize: bool = False

    @property
    def sampling(self) -> dict[str, Any]:
        """What of temperature, top-k, top-p and seed is not the default."""
        shown: dict[str, Any] = {}
        if self.temperature:
            shown = {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}
            shown = {name: value for name, value in shown.items() if value is not None}
            shown["seed"] = self.seed
        return shown

    @property
    def changes(self) -> bool:
        """Whether anything is changed, at any step."""
        return bool(self.e.every_change or self.earlier)

    @property
    def switches(self) -> dict[int, str]:
        """Step → what acts from there on, in the place of what did before."""
        sets = [*(own for _, own in self.earlier), str(self.e.ablations)]
        return {step: own for (step, _), own in zip(self.earlier, sets[1:], strict=True)}

    def call(self) -> tuple[engine.Experiment, dict[str, Any]]:
        """The experiment and the options that `engine.generate` takes, defaults left out."""
        e, options = self.e, self.sampling
        if self.earlier:
            e = replace(e, ablations=engine.ablations(self.earlier[0][1]))
            options["switches"] = self.switches
        if self.from_step:
            options["from_step"] = self.from_step
        if self.until_step is not None:
            options["until_step"] = self.until_step
        if self.prefix:
            options["prefix"] = self.prefix
            if self.ablated_prefix != self.prefix:
                options["ablated_prefix"] = self.ablated_prefix
        if self.retokenize:
            options["retokenize"] = True
        return e, options

    def python(self, n: int) -> str:
        """The code that prints the rows of the steps' CSV."""
        e, options = self.call()
        written = "".join(f", {name}={value!r}" for name, value in options.items())
        return (
            f"import switchboard as engine\n\ne = {e.to_python()}\n"
            f"result = engine.generate(e, {n}{written}).result()\n"
            "for row in result.table():\n    print(row)\n"
        )


def sampling_row(extra: Callable[[], None] | None = None) -> None:
    """Draw how many tokens are taken and how; `extra` is drawn beside them."""
    greedy = (st.session_state["temperature"] or "0").strip() in ("0", "0.0")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        for name, (label, width, hint) in _NUMBERS.items():
            idle = greedy and name in _SAMPLING
            st.text_input(label, key=name, width=width, help=hint, disabled=idle)
        if extra is not None:
            extra()


def n_tokens() -> int:
    """How many tokens are asked for. Raises: EngineError for what is no number."""
    return whole("new_tokens", "New tokens")


def sampling(e: engine.Experiment) -> Asked:
    """The experiment with how tokens are taken. Raises: EngineError for what is no number."""
    temperature = number("temperature", "Temperature")
    if not temperature:
        return Asked(e)
    return Asked(
        e,
        temperature,
        whole("top_k", "Top-k") if written("top_k") else None,
        number("top_p", "Top-p") if written("top_p") else None,
        whole("seed", "Seed"),
    )


def question(e: engine.Experiment) -> Asked:
    """What the text view's widgets say. Raises: EngineError for what cannot be read."""
    prefix = ids_in(written("prefix"))
    return replace(
        sampling(e),
        prefix=prefix,
        ablated_prefix=ids_in(written("ablated_prefix")) or prefix,
        from_step=whole("from_step", "from step") if written("from_step") else 0,
        until_step=whole("until_step", "until step") if written("until_step") else None,
        earlier=earlier_in(written("earlier")),
        retokenize=st.session_state["ids"] == "retokenize",
    )


def ids_in(text: str) -> tuple[int, ...]:
    """Token ids written with spaces. Raises: EngineError for a word that is none."""
    words = text.replace(",", " ").split()
    wrong = next((word for word in words if not re.fullmatch(r"\d{1,9}", word)), None)
    if wrong is not None:
        raise engine.EngineError(f"“{wrong[:20]}” is no token id; ids are whole numbers from 0.")
    return tuple(map(int, words))


def earlier_in(text: str) -> tuple[tuple[int, str], ...]:
    """Read `until 4: 0.1; until 9: a0 m1`, steps rising. Raises: EngineError in words."""
    result: list[tuple[int, str]] = []
    for part in text.split(";"):
        if not part.strip():
            continue
        match = re.fullmatch(r"\s*(?:until\s+)?(\d{1,6})\s*:(.*)", part)
        if match is None or (result and int(match[1]) <= result[-1][0]) or not int(match[1]):
            raise engine.EngineError(
                f"“{part.strip()[:40]}” does not say what acted earlier. Write, in rising order, "
                "until 4: 0.1; until 9: a0 m1; nothing behind the colon is nothing ablated."
            )
        result.append((int(match[1]), str(engine.ablations(match[2]))))
    return tuple(result)


def write_earlier(spans: list[tuple[int, str]]) -> None:
    """Set what acted earlier; only before its box is drawn, or in a callback."""
    st.session_state["earlier"] = "; ".join(f"until {step}: {own}".strip() for step, own in spans)


def when_and_where(given: Asked | None) -> None:
    """Draw at which steps and positions the ablation acts, and what a click on a token does."""
    ss = st.session_state
    ss["_where"] = ss["positions"] if ss["positions"] in POSITIONS else None
    with st.expander("When and where the ablation acts; branching", expanded=_unusual()):
        with st.container(horizontal=True, gap="small"):
            st.segmented_control(
                "Positions",
                list(POSITIONS),
                key="_where",
                format_func=POSITIONS.__getitem__,
                on_change=_on_where,
                help="Clicking tokens of the prompt chooses single ones.",
            )
            st.text_input("From step", key="from_step", width=90, help=_STEPS)
            st.text_input("Until step", key="until_step", width=90, help="Empty: to the end.")
            choice(
                "New text is",
                "ids",
                IDS,
                help="Appended: the ids taken stay. Tokenized anew: after every token the whole "
                "text is tokenized again, and goes on from the ids that gives.",
            )
        with st.container(horizontal=True, gap="small"):
            choice(
                "Heads switched act",
                "acts",
                ACTS,
                help="From this step on: the text up to the step held (or so far) stays, and goes "
                "on with what the grid says then. Works while the text is coming, too.",
            )
            st.text_input(
                "Ablated earlier",
                key="earlier",
                width=250,
                placeholder="until 4: 0.1; until 9: a0",
                help="What acted before the grid's sites do. `until 6:` is nothing before step 6.",
            )
            choice("A token clicked goes into", "branch", BRANCH)
        if given is not None and given.prefix:
            st.button("Leave the branch", on_click=_leave, icon=":material/call_merge:")


_STEPS = (
    "Step i is the pass that decides generated token i, from 0. From step k on: the prompt and the "
    "tokens read before are left as they are."
)


def _unusual() -> bool:
    ss = st.session_state
    return ss["positions"] != "all" or any(ss[one.name] != one.default for one in UNUSUAL)


def _on_where() -> None:
    st.session_state["positions"] = st.session_state["_where"] or "all"


def _leave() -> None:
    for name in ("prefix", "ablated_prefix", "step"):
        st.session_state[name] = ""
