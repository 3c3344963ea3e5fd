"""One text, clean and ablated side by side, token by token while the model makes them.

The script that draws the page reads the steps as they come, and hands each to the browser. Whatever
ends that script (Stop, a click elsewhere, a closed tab) ends the generation with it; the steps it
made are kept, and the next run goes on from them.
"""

from __future__ import annotations

from dataclasses import replace
from time import monotonic

import streamlit as st

import engine
from pages._parts import components, state
from pages._parts.boxes import count_in
from pages._parts.generate import settings
from pages._parts.generate.numbers import RUNS, numbers
from pages._parts.generate.record import Feed, Record, resume_of, streams
from pages._parts.generate.settings import Asked
from pages._parts.generate.steps import shown_steps
from pages._parts.layout import beside_switches, errors_shown
from pages._parts.rankings import about, title
from pages._parts.refusals import refused
from pages._parts.switches import switches
from pages._parts.text import plain

_VIEW = "generation"
_MORE = 20
_EVERY = 0.05
"""Seconds between what the browser is told while tokens come."""


def text(reading: state.Reading, shape: engine.Shape) -> None:
    """The whole view. Raises: EngineError."""
    ss, e, refusal = st.session_state, reading.experiment, None
    _switch_here(e)
    problem, n, question = "", 0, None
    try:
        question, n = settings.question(e), settings.n_tokens()
    except engine.EngineError as wrong:
        problem = str(wrong)
    if question is not None:
        refusal = _refusal(question, n)
        if reading.unread or refusal is not None:
            question = replace(question, e=e.clean, earlier=())
    record = _record(question) if question is not None else None
    total = n + (len(question.prefix) if question is not None else 0)
    nothing = question is not None and n < (0 if question.prefix else 1)  # which the engine tells
    failed = record.failure(total) if record is not None else None
    running = (
        record is not None and not (record.held or failed) and (nothing or record.lacks(total))
    )
    settings.sampling_row(lambda: _buttons(running, bool(failed), record, total))
    settings.when_and_where(question)
    left, right = beside_switches(shape.n_heads, 5 / 9)
    with left:
        switches(e.ablations, shape)
    with right:
        if record is None or question is None:
            st.error(plain(problem))
            return
        if refusal is not None and failed is None:
            with errors_shown():
                refused(refusal, e)
        stream = f"{state.view()}-{next(streams)}"
        if running or record.steps:
            made = not reading.unread and refusal is None
            _draw(record, total, stream if running else "", made)
        if failed is not None:
            with errors_shown():
                raise failed.with_traceback(None)
        if running:
            if reading.whole:
                state.write_link(e)  # the script is long here, and the address must not wait
            try:
                _read_on(record, n, total, stream)
            except engine.EngineError as wrong:
                st.container()  # goes no further where another run has taken this one's place
                if question.changes and not isinstance(wrong, engine.Cancelled):
                    ss["_text_refused"] = (question, n, wrong)
                record.failed = (total, wrong)
            state.run_anew()
    numbers(record, total)
    ss["_text"] = record


def _refusal(question: Asked, n: int) -> engine.EngineError | None:
    """Why the changes of this generation of `n` tokens could not be made, if that is known."""
    last = st.session_state.get("_text_refused")
    return last[2] if last is not None and last[:2] == (question, n) else None


def _record(question: Asked) -> Record:
    """What there is of this generation. One that may still be read by a run that is being ended
    is not touched: a copy goes on."""
    old = st.session_state.get("_text")
    if isinstance(old, Record) and old.question == question:
        record = replace(old, steps=list(old.steps))
    else:
        record = Record(question)
    st.session_state["_text"] = record
    return record


def _switch_here(e: engine.Experiment) -> None:
    """Where heads were switched to act from this step on, keep the text up to there."""
    ss, record = st.session_state, st.session_state.get("_text")
    if ss["acts"] != "here" or not isinstance(record, Record) or not record.steps:
        return
    old = record.question
    if e == old.e or e != replace(old.e, ablations=e.ablations):
        return
    held = count_in("step")
    at = len(record.steps) if held is None or held > len(record.steps) else held
    if at == 0:
        return
    spans = [span for span in old.earlier if span[0] < at]
    settings.write_earlier([*spans, (at, str(old.e.ablations))])
    if at >= settings.n_tokens() + len(old.prefix):
        ss["new_tokens"] = str(at - len(old.prefix) + _MORE)
    question = replace(old, e=e, earlier=(*spans, (at, str(old.e.ablations))))
    steps = [replace(step, unswitched=step.ablated) for step in record.steps[:at]]
    ss["_text"] = Record(question, steps, record.notes, record.prompt)


def _read_on(record: Record, n: int, total: int, stream: str) -> None:
    """Let the model go on, telling the browser of each step as it is there."""
    e, options = record.question.call()
    resume = resume_of(record) if n > 0 else None  # of too few, the engine is to tell how many
    if resume is not None:
        n = total - len(record.steps)
        options |= resume
    going = engine.generate(e, n, **options, view=state.view())
    st.session_state["_going"] = going
    record.notes, record.prompt = going.notes, going.prompt
    record.ended, record.wanted = "", total
    feed, sent = Feed(stream), 0.0
    try:
        for step in going:
            if step.index < len(record.steps):
                continue
            record.steps.append(step)
            feed.add(step)
            if monotonic() - sent > _EVERY:
                feed.tell()
                sent = monotonic()
        feed.tell()
        if not record.held:
            record.ended = going.ended
    finally:
        going.cancel()


def _buttons(running: bool, failed: bool, record: Record | None, total: int) -> None:
    if running:
        st.button("Stop", key="_stop", on_click=_stop, icon=":material/stop:", type="primary")
        return
    st.button(
        "Try again" if failed else "Go on",
        key="_go_on",
        on_click=_go_on,
        args=(total,),
        disabled=record is None or bool(record.ended and record.wanted > len(record.steps)),
        icon=":material/play_arrow:",
    )
    if record is not None and record.question.temperature:
        st.button("Another seed", key="_reseed", on_click=_reseed, icon=":material/casino:")


def _stop() -> None:
    record, going = st.session_state.get("_text"), st.session_state.get("_going")
    if isinstance(record, Record):
        record.held = True
    if going is not None:
        going.cancel()


def _go_on(total: int) -> None:
    record = st.session_state.get("_text")
    if isinstance(record, Record) and (record.held or record.failed):
        record.held, record.failed = False, None
        if record.lacks(total):
            return
    st.session_state["new_tokens"] = str((count_in("new_tokens") or 0) + _MORE)


def _reseed() -> None:
    seed = count_in("seed")
    st.session_state["seed"] = "0" if seed is None else str(seed + 1)


def _draw(record: Record, total: int, stream: str, made: bool) -> None:
    """The component, with all steps there are; `stream` names where more will come from; `made`:
    whether the changes could be."""
    steps, question = record.steps[:total], record.question
    e = question.e
    name = "generation"
    first, shown = shown_steps(steps)
    done = "" if stream else _told(record, total)
    components.generation(
        {
            "stream": stream,
            "first": first,
            "steps": shown,
            "held": count_in("step"),
            "name": name,
            "title": title(e),
            "about": f"{about(e)} {_how(question)}",
            "acts": _acts(question, e.ablations) if made else "cannot be made; this is clean",
            "unswitched": _acts(question, question.earlier[-1][1], "still ")
            if question.earlier
            else "",
            "switches": [[step, own or "nothing"] for step, own in question.switches.items()],
            "says": done,
        },
        key=_VIEW,
        on_held=_on_held,
        on_branched=_on_branched,
    )
    for note in record.notes:
        st.caption(plain(note))


def _acts(question: Asked, own: object, still: str = "") -> str:
    done = [f"{own} ({question.e.method})"] if str(own) else []
    sentence = "; ".join([*done, *map(str, question.e.changes)]) or "nothing is switched off"
    return (
        f"{still}{sentence} from step {question.earlier[-1][0]} on"
        if question.earlier
        else sentence
    )


def _how(question: Asked) -> str:
    notes = []
    if question.temperature:
        notes.append(", ".join(f"{n.replace('_', '-')} {v}" for n, v in question.sampling.items()))
    if question.from_step or question.until_step is not None:
        until = "" if question.until_step is None else f" until step {question.until_step}"
        notes.append(f"from step {question.from_step}{until}")
    notes += [f"until step {step}: {own or 'nothing'}" for step, own in question.earlier]
    return f"({'; '.join(notes)})" if notes else "(greedy)"


def _told(record: Record, total: int) -> str:
    n = len(record.steps[:total])
    flagged = [
        sum(bool(run and run.retokenizes) for run in (getattr(s, name) for s in record.steps))
        for name in ("clean", "ablated")
    ]
    sentence = "Stopped. " if record.held and n < total else ""
    if record.ended and n < record.wanted:
        sentence += f"{record.ended} "
    if any(flagged):
        sentence += (
            f"After {flagged[0]} clean and {flagged[1]} ablated steps (marked ↻), tokenizing the "
            "text so far would give other ids than the model has read. "
        )
    notes = (run.note for s in record.steps[:total] for run in (s.clean, s.ablated) if run)
    sentence += next(filter(None, notes), "")
    return sentence.strip()


def _on_held() -> None:
    held = st.session_state[_VIEW]["held"]
    st.session_state["step"] = str(held) if isinstance(held, int) and held >= 0 else ""


def _on_branched() -> None:
    """Go on from the step with the token clicked, in its own run or in both."""
    ss, record = st.session_state, st.session_state.get("_text")
    branched = ss[_VIEW]["branched"]
    if not isinstance(branched, dict) or not isinstance(record, Record):
        return
    run, step, token = branched.get("run"), branched.get("step"), branched.get("id")
    if run not in RUNS or not isinstance(step, int) or not isinstance(token, int):
        return
    steps = record.steps[: step + 1]
    runs = {name: [getattr(s, name) for s in steps] for name in ("clean", "ablated")}
    if run == "unswitched":  # which goes on from the same text as the ablated run
        run, runs["ablated"] = "ablated", [s.unswitched for s in steps]
    both = ss["branch"] == "both"
    texts = {}
    for name, own in runs.items():
        chosen = both or name == run
        kept = own[:step] if chosen else own
        if any(one is None or (one.ends and chosen) for one in kept):
            st.toast(f"The {name} text ends before step {step}, so it cannot go on there.")
            return
        texts[name] = [one.token_id for one in kept if one is not None]
        texts[name] += [token] if chosen else []
    same = texts["clean"] == texts["ablated"]
    ss["prefix"] = " ".join(map(str, texts["clean"]))
    ss["ablated_prefix"] = "" if same else " ".join(map(str, texts["ablated"]))
    ss["step"] = str(step)
