"""The Neurons page by Streamlit's own AppTest."""

from __future__ import annotations

import csv
import io
from contextlib import redirect_stdout
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import engine
from tests.pages.test_bad_input import page_of
from tests.pages.test_explore import component, unescaped
from tests.support.opening import codes_of
from tests.support.tiny_models import Tiny
from tests.support.waiting import waited

E = engine.Experiment("seq-gpt2", "1 2 3 4", answer=" 5", distractor=" 4")


def neurons_page(**query: str) -> AppTest:
    page = waited(page_of("neurons", **query))
    assert not page.exception and not page.error, said(page)
    return page


def said(page: AppTest) -> str:
    parts = [*page.error, *page.warning, *page.info, *page.caption]
    return unescaped(" ".join(part.value for part in parts))


def figure_rows(page: AppTest) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(component(page, "figure")["csv"])))


def chips(page: AppTest) -> Any:
    (one,) = (pills for pills in page.pills if pills.key == "_neurons_off")
    return one


def test_the_ranking_is_the_engines_and_a_click_switches_a_neuron_off_and_on_again() -> None:
    page = neurons_page(neurons_exact="6")
    ranked = engine.rank_neurons(E, exact=6)
    rows, table = figure_rows(page), page.main.dataframe[0].value
    assert len(rows) == 1000 and ranked.n_neurons == 3840
    assert [row["neuron"] for row in rows[:6]] == table["neuron"].tolist()
    assert float(rows[0]["exact"]) == pytest.approx(ranked.table(1)[0]["exact"], abs=1e-4)
    first = table["neuron"][0]
    (says,) = engine.promoted_tokens("seq-gpt2", [first]).values()
    assert says[0].strip() in table["promotes"][0]
    page = waited(chips(page).set_value([first]).run())
    assert page.session_state["sites"] == first and page.query_params["ablations"] == first
    assert page.main.dataframe[0].value["off"].tolist() == [True] + [False] * 5
    together = next(one for one in page.metric if one.label == "All that is off, together")
    ablated = engine.next_token(
        engine.Experiment("seq-gpt2", "1 2 3 4", answer=" 5", distractor=" 4", ablations=first)
    )
    assert float(together.value.replace("−", "-")) == pytest.approx(
        ablated.ablated_logit_diff, abs=2e-3
    )
    page = waited(chips(page).set_value([]).run())
    assert page.session_state["sites"] == "" and "ablations" not in page.query_params


def test_over_a_family_and_on_top_of_what_is_off_it_says_so_and_the_python_gives_it() -> None:
    page = neurons_page(
        over="family", n_pairs="3", neurons_layer="4", neurons_exact="2", baseline="given",
        ablations="1.3",
    )  # fmt: skip
    assert "over 3 prompts" in said(page) and "with 1.3 changed" in said(page)
    assert len(figure_rows(page)) == 640
    code = codes_of(page, "rank_neurons(")[0]
    with redirect_stdout(written := io.StringIO()):
        exec(code, {})
    assert len(written.getvalue().splitlines()) == 101


def test_one_neuron_has_its_tokens_and_contexts_and_is_forced_by_a_button() -> None:
    page = neurons_page(neurons_show="one", neuron="4.516", task="numerals")
    says = engine.neuron_tokens("seq-gpt2", "n4.516")
    shown = page.main.dataframe[0].value
    assert shown["promotes"][0].replace("␣", " ") == says.promotes.top_texts[0]
    rows = figure_rows(page)
    contexts = engine.neuron_contexts(
        "seq-gpt2", "n4.516", [one.prompt for one in engine.examples("numerals", 60)]
    )
    assert float(rows[0]["activation"]) == pytest.approx(contexts.contexts[0].activation, rel=1e-4)
    page = waited(page.button(key="_force 1.0").click().run())
    change = str(contexts.forced(1.0))
    assert page.session_state["changes"] == change and f"Now: {change}" in said(page)
    silence = next(one for one in page.button if one.label == "Silence")
    page = waited(silence.click().run())
    assert page.session_state["changes"] == "zero n4.516" and "→" in said(page)
    let = next(one for one in page.button if one.label == "Let it be")
    assert waited(let.click().run()).session_state["changes"] == ""


def test_between_sets_of_ones_own_the_matrix_stands_beside_random_neurons() -> None:
    page = neurons_page(
        neurons_show="sets", first_set="own", second_set="own", control_draws="2",
        first_own="1 2 3\n4 5 6\n7 8 9\n2 3 4", second_own="one two\nfour five\nsix seven\ntwo six",
    )  # fmt: skip
    rows = figure_rows(page)
    assert [(row["changed"], row["measured"]) for row in rows] == [
        ("first", "first"), ("first", "second"), ("second", "first"), ("second", "second")
    ]  # fmt: skip
    assert rows[0]["draws"] == "2" and "the mean of 2 draws" in said(page)
    switch = next(one for one in page.button if one.label.startswith("Switch off second"))
    page = waited(switch.click().run())
    assert page.session_state["sites"].startswith("n") and "left out here" in said(page)


def test_three_sets_may_be_compared() -> None:
    page = neurons_page(
        neurons_show="sets", third_set="own", third_own="1 2 3\n4 5 6\n7 8 9", control_draws="1"
    )
    rows = figure_rows(page)
    assert len(rows) == 9 and {row["changed"] for row in rows} == {"english", "spanish", "third"}


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"neurons_layer": "9"}, "There is no layer 9"),
        ({"neurons_layer": "x"}, "not a whole number"),
        ({"neurons_show": "one", "neuron": "m4"}, "Name one neuron"),
        ({"neurons_show": "one", "neuron": "n4.99999"}, "There is no neuron"),
        ({"neurons_show": "one", "contexts_in": "written"}, "Paste a text"),
        ({"neurons_show": "sets", "second_set": "english"}, "one name"),
        ({"neurons_show": "sets", "second_set": "own"}, "Write prompts"),
        ({"neurons_show": "sets", "third_set": "spanish"}, "one name"),
        ({"neurons_show": "sets", "selective_share": "99"}, "up to 0.5"),
    ],
)
def test_what_cannot_be_asked_is_said(query: dict[str, str], told: str) -> None:
    page = waited(page_of("neurons", **query))
    assert not page.exception and told in said(page)


@pytest.mark.parametrize("view", ["ranked", "one", "sets"])
def test_a_model_without_neurons_to_name_is_told_in_words(view: str, tiny: Tiny) -> None:
    page = neurons_page(
        model=str(tiny("mixtral")), prompt="t1 t2", answer=" t3", distractor=" t4",
        neurons_show=view,
    )  # fmt: skip
    assert "mixtures of experts" in said(page)
