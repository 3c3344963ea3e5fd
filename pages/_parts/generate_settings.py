"""How a text is to be generated: the widgets, and what they say as a value."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, TypeVar

import streamlit as st

import engine
from pages._parts import state

T = TypeVar("T", int, float)
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
        told: dict[str, Any] = {}
        if self.temperature:
            told = {"temperature": self.temperature, "top_k": self.top_k, "top_p": self.top_p}
            told = {name: value for name, value in told.items() if value is not None}
            told["seed"] = self.seed
        return told

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
            f"import engine\n\ne = {e.to_python()}\n"
            f"steps = list(engine.generate(e, {n}{written}))\n"
            "for row in engine.step_table(steps):\n    print(row)\n"
        )


def sampling_row(extra: Callable[[], None] | None = None) -> None:
    """Draw how many tokens are taken and how; `extra` is drawn beside them."""
    greedy = (st.session_state["temperature"] or "0").strip() in ("0", "0.0")
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        for name, (label, width, told) in _NUMBERS.items():
            idle = greedy and name in _SAMPLING
            st.text_input(label, key=name, width=width, help=told, disabled=idle)
        if extra is not None:
            extra()


def n_tokens() -> int:
    """How many tokens are asked for. Raises: EngineError for what is no number."""
    return _number("new_tokens", int)


def count_in(name: str) -> int | None:
    """The whole number from 0 on in a box, up to nine digits; None where there is none."""
    return int(_written(name)) if re.fullmatch(r"[0-9]{1,9}", _written(name)) else None


def whole(name: str, label: str) -> int:
    """The whole number in a box. Raises: EngineError for what is none."""
    return _number(name, int, label)


def number(name: str, label: str) -> float:
    """The number in a box. Raises: EngineError for what is none."""
    return _number(name, float, label)


def sampling(e: engine.Experiment) -> Asked:
    """The experiment with how tokens are taken. Raises: EngineError for what is no number."""
    temperature = _number("temperature", float)
    if not temperature:
        return Asked(e)
    return Asked(
        e,
        temperature,
        _number("top_k", int) if _written("top_k") else None,
        _number("top_p", float) if _written("top_p") else None,
        _number("seed", int),
    )


def asked(e: engine.Experiment) -> Asked:
    """What the text view's widgets say. Raises: EngineError for what cannot be read."""
    prefix = ids_in(_written("prefix"))
    return replace(
        sampling(e),
        prefix=prefix,
        ablated_prefix=ids_in(_written("ablated_prefix")) or prefix,
        from_step=_number("from_step", int) if _written("from_step") else 0,
        until_step=_number("until_step", int) if _written("until_step") else None,
        earlier=earlier_in(_written("earlier")),
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
    found: list[tuple[int, str]] = []
    for part in text.split(";"):
        if not part.strip():
            continue
        match = re.fullmatch(r"\s*(?:until\s+)?(\d{1,6})\s*:(.*)", part)
        if match is None or (found and int(match[1]) <= found[-1][0]) or not int(match[1]):
            raise engine.EngineError(
                f"“{part.strip()[:40]}” does not say what acted earlier. Write, in rising order, "
                "until 4: 0.1; until 9: a0 m1; nothing behind the colon is nothing ablated."
            )
        found.append((int(match[1]), str(engine.ablations(match[2]))))
    return tuple(found)


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
            st.segmented_control(
                "New text is",
                state.CHOICES["ids"],
                key="ids",
                format_func=IDS.__getitem__,
                required=True,
                help="Appended: the ids taken stay. Tokenized anew: after every token the whole "
                "text is tokenized again, and goes on from the ids that gives.",
            )
        with st.container(horizontal=True, gap="small"):
            st.segmented_control(
                "Heads switched act",
                state.CHOICES["acts"],
                key="acts",
                format_func=ACTS.__getitem__,
                required=True,
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
            st.segmented_control(
                "A token clicked goes into",
                state.CHOICES["branch"],
                key="branch",
                format_func=BRANCH.__getitem__,
                required=True,
            )
        if given is not None and given.prefix:
            st.button("Leave the branch", on_click=_leave, icon=":material/call_merge:")


_STEPS = (
    "Step i is the pass that decides generated token i, from 0. From step k on: the prompt and the "
    "tokens read before are left as they are."
)


def _unusual() -> bool:
    ss = st.session_state
    names = ("from_step", "until_step", "earlier", "prefix", "ids", "acts", "branch")
    plain = {**state.WRITTEN, **{name: values[0] for name, values in state.CHOICES.items()}}
    return ss["positions"] != "all" or any(ss[name] != plain[name] for name in names)


def _on_where() -> None:
    st.session_state["positions"] = st.session_state["_where"] or "all"


def _leave() -> None:
    for name in ("prefix", "ablated_prefix", "step"):
        st.session_state[name] = ""


def _written(name: str) -> str:
    return (st.session_state[name] or "").strip()


def _number(name: str, kind: Callable[[str], T], label: str = "") -> T:
    text = _written(name)
    label = label or (_NUMBERS[name][0] if name in _NUMBERS else name.replace("_", " "))
    what = "a whole number" if kind is int else "a number"
    wrong = engine.EngineError(f"{label}: “{text[:20]}” is not {what}.")
    try:
        found = kind(text)
    except ValueError:
        raise wrong from None
    if not isfinite(found):  # nan, which is not even itself, would be asked for again and again
        raise wrong
    return found
