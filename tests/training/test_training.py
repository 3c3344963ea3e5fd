"""The corpus is what the cards say it is, and a training run is the same twice."""

from __future__ import annotations

import re
from itertools import islice, pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from tqdm import tqdm

from engine.tasks.families import (
    DAYS_IN,
    FAMILIES,
    LADDERS,
    MONTHS,
    SPANISH_MONTHS,
    UNITS,
    age_line,
    date_line,
    done_in,
    shuffled,
)
from training.corpus import SEPARATORS, Line, Style, held_out, lines, styles
from training.tokenizing import save_gpt2_tokenizer
from training.train import fit, new_model


@pytest.fixture(scope="module")
def held() -> Any:
    return held_out()


@pytest.fixture(scope="module")
def stream(held: Any) -> Any:
    return [line.text for line in islice(lines(1, held), 6000)]


@pytest.mark.parametrize(
    ("family", "run"),
    [
        ("numerals", "7 8 9 10 11"),
        ("number words", "nineteen twenty twenty-one twenty-two"),
        ("months", "November December January"),
        ("weekdays", "Saturday Sunday Monday"),
        ("letters", "X Y Z"),
        ("ordinal words", "first second third"),
        ("ordinals", "1st 2nd 3rd 4th"),
        ("ordinals", "20th 21st 22nd 23rd 24th"),
        ("ordinals", "11th 12th 13th"),
        ("Spanish numbers", "quince dieciséis diecisiete"),
        ("Spanish months", "noviembre diciembre enero"),
        ("steps of 2", "7 9 11"),
        ("steps of 3", "1 4 7"),
        ("steps of 5", "5 10 15"),
        ("steps of 10", "3 13 23"),
        ("descending", "12 11 10"),
        ("Fibonacci", "5 8 13 21"),
    ],
)
def test_a_ladder_climbs_as_people_count(family: str, run: str) -> None:
    ladder = LADDERS[family]
    assert any(run in " ".join(ladder.run(start, 40)) for start in ladder.starts)


def test_the_stream_holds_every_family_in_every_separator(stream: Any) -> None:
    every = "\0".join(stream)
    for name, ladder in LADDERS.items():
        for separator in SEPARATORS:
            found = any(separator.join(ladder.run(s, 3)) in every for s in ladder.starts)
            assert found or Style(separator) in held_out().styles[name], (name, separator)
    for text in ("If today is ", " older than ", " younger than ", " done in ", " lost in "):
        assert text in every, text


def test_no_two_styles_of_a_ladder_write_the_same() -> None:
    for ladder in LADDERS.values():
        written = [style.write(ladder.run(ladder.starts[2], 4)) for style in styles(ladder)]
        assert len(set(written)) == len(written), ladder.name


def test_training_never_sees_what_a_model_is_judged_on(held: Any, stream: Any) -> None:
    assert set(held.examples) == set(FAMILIES)
    for family, examples in held.examples.items():
        assert len(examples) >= 50, family
        assert all(e.family == family and e.answer and e.answer != e.distractor for e in examples)
    prompts = tuple(e.prompt for examples in held.examples.values() for e in examples)
    assert not [line for line in stream if any(prompt in line for prompt in prompts)]


def test_a_run_is_cut_before_a_held_out_window_and_not_ended(held: Any) -> None:
    window = held.examples["numerals"][0].prompt
    start, cut = window.split()[0], window.rsplit(" ", 1)[0]
    assert held.texts[window] == len(cut)
    run = f"{int(start) - 1} {window} {int(window.split()[-1]) + 1}"
    assert held.spare(Line(run)) == Line(f"{int(start) - 1} {cut}", ends=False)
    assert held.spare(Line("8 1 6 3")) == Line("8 1 6 3")
    assert held.spare(Line(held.examples["dates"][0].prompt + " May 1st.")) is None
    found = list(islice(lines(2, held), 2000))
    ended = [line.text for line in found if line.ends]
    assert 500 < len(ended) < 1500
    assert all(
        text[-1] in ".Zz" or re.search("(thirty|twentieth|veinte|31st|0|987)$", text, re.I)
        for text in ended
    )


def test_held_out_prompts_continue_their_ladder(held: Any) -> None:
    for family in LADDERS:
        for example in held.examples[family]:
            terms = re.split(r" -> | / |[,;] |\s", example.prompt.rstrip(" ->,;/\n"))
            answer = example.answer.strip()
            ladder = LADDERS[family]
            runs = [" ".join(ladder.run(s, len(terms) + 1)).lower() for s in ladder.starts]
            runs += [" ".join(term[:3] for term in run.split()) for run in runs]
            assert " ".join([*terms, answer]).lower() in runs, example


def test_dates_and_ages_are_right() -> None:
    rng = Random(3)
    seen = set()
    for _ in range(500):
        date = date_line(rng)
        month, day, days = re.findall(r"is (\w+) (\d+)\w\w, then in (\d+)", date.prompt)[0]
        total = sum(DAYS_IN[m] for m in MONTHS[: MONTHS.index(month)]) + int(day) + int(days)
        for m in [*MONTHS, *MONTHS]:
            if total <= DAYS_IN[m]:
                break
            total -= DAYS_IN[m]
        assert re.fullmatch(rf" {m} {total}(st|nd|rd|th)", date.answer), date
        seen.add(m == month)
        age = age_line(rng)
        years, than, first = re.findall(r"is (\w+) years? (\w+) than.* is (\d+) and", age.prompt)[0]
        sign = -1 if than == "older" else 1
        assert int(age.answer) == int(first) + sign * (UNITS.index(years) + 1), age
    assert seen == {True, False}


def test_a_shuffled_run_has_nothing_to_continue() -> None:
    rng = Random(4)
    for ladder in (LADDERS["months"], LADDERS["numerals"], LADDERS["weekdays"]):
        for _ in range(100):
            terms = shuffled(rng, ladder, 4)
            assert len(set(terms)) == 4
            assert not any(terms == ladder.run(s, 4) for s in ladder.starts)


def test_done_in_leaves_a_gap_where_the_line_goes_on() -> None:
    gap, whole = done_in(Random(1), ["1", "2", "3", "4"], 3)
    assert gap.endswith(" in") and whole.startswith(gap) and whole == f"{gap} 4."
    assert re.fullmatch(r"(\w+ \w+ in \d\. ){3}\w+ \w+ in", gap)
    assert len(SPANISH_MONTHS) == 12


def test_training_is_the_same_twice_and_learns(tmp_path: Path, held: Any, stream: Any) -> None:
    save_gpt2_tokenizer(stream[:500], tmp_path)

    def trained() -> Any:
        torch.set_num_threads(1)
        model = new_model("seq-gpt2", 300, 0, 0)
        rng = Random(0)
        data = iter(
            [torch.tensor([[1 + (s + i) % 50 for i in range(12)] for s in rng.sample(range(50), 8)])
             for _ in range(30)]
        )  # fmt: skip
        with tqdm(total=30, disable=True) as bar:
            losses = fit(model, data, 30, bar)
        return losses, model.state_dict()

    (one, weights), (two, again) = trained(), trained()
    assert one == two and all(torch.equal(weights[k], again[k]) for k in weights)
    assert sum(one[-3:]) < 0.8 * sum(one[:3])
    assert all(a != b for a, b in pairwise(one))
