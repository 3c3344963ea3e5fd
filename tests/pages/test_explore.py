"""The Explore page by Streamlit's own AppTest: what needs no browser."""

from __future__ import annotations

import csv
import io
import json

import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetStates
from streamlit.runtime.scriptrunner_utils.exceptions import RerunException
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData
from streamlit.testing.v1 import AppTest

import engine
from pages._parts import prompt_tokens
from tests.support.alone import printed
from tests.support.opening import codes_of, page_at
from tests.test_architecture import ROOT


def opened(**query: str | list[str]) -> AppTest:
    return page_at("explore", query)


def component(page: AppTest, name: str) -> dict:
    found = [c.proto for c in page.get("bidi_component") if c.proto.component_name.endswith(name)]
    assert found, f"no {name} on the page"
    return json.loads(found[0].json)


def said(page: AppTest) -> str:
    return " ".join(e.value for e in [*page.error, *page.warning])


def unescaped(text: str) -> str:
    return text.replace("\\", "")


def test_it_opens_on_an_example_with_both_rankings() -> None:
    page = opened()
    assert not page.exception and not page.error
    shown = component(page, "rankings")
    assert shown["rows"][0]["token"] == "␣5"
    assert shown["sites"] == "nothing is switched off"
    assert page.query_params["prompt"] == "1 2 3 4"


def test_a_link_restores_the_whole_experiment() -> None:
    page = opened(model="seq-gpt2", prompt="2 4 6", answer=" 8", ablations="keep 0.1 m2",
                  method="scale(0.5)", positions="0,-1", references=["1 2 3", "a\nb"])  # fmt: skip
    assert not page.exception and not page.error
    assert page.text_area(key="prompt").value == "2 4 6"
    assert page.text_input(key="sites").value == "0.1 m2"
    assert page.selectbox(key="method").value == "scale"
    assert page.text_area(key="references").value == "1 2 3\na\\nb"
    assert page.query_params["references"] == ["1 2 3", "a\nb"]
    assert component(page, "head_grid")["verb"] == "keep"


def test_a_link_keeps_where_the_ranking_is_made() -> None:
    page = opened(model="seq-llama", prompt="1 2 3", answer=" 4", at="prompt")
    assert not page.exception and page.query_params["at"] == "prompt"
    assert component(page, "rankings")["after"] == ""
    page.button_group(key="at").set_value("answer").run()
    assert "at" not in page.query_params
    assert component(page, "rankings")["after"] == "after ▁"
    assert not opened(model="seq-gpt2", prompt="1 2", at="nowhere").exception


def test_the_python_of_the_rankings_gives_their_numbers_in_a_fresh_interpreter() -> None:
    asked = dict(model="seq-llama", prompt='2 "a,b"\n4', answer=" 6", distractor=" 7")
    shown, codes = [], []
    for at in ("answer", "prompt"):
        page = opened(**asked, ablations="a0 m1", at=at)
        assert not page.exception and not page.error
        shown.append(component(page, "rankings"))
        codes.append(codes_of(page, "engine.next_token(")[0])
    script = "\nprint('---')\n".join(codes)
    for view, text in zip(shown, printed(script).split("---\n"), strict=True):
        assert text.endswith(view["csv"])
        lines = list(csv.DictReader(io.StringIO(view["csv"])))
        for run in ("clean", "ablated"):
            told = [(line["token_id"], f"{float(line[f'{run}_logit']):.3f}", line["moves"],
                     line[f"{run}_rank"], line["mark"]) for line in lines]  # fmt: skip
            rows = [(str(r["id"]), r[run]["logit"], str(r["move"]), str(r[run]["rank"]), r["mark"])
                    for r in view["rows"]]  # fmt: skip
            assert told == rows and len(rows) >= 10
        numbers = dict(line.rsplit(" ", 2)[::2] for line in text.splitlines()[:6])
        now = {each["name"]: each["now"] for each in view["numbers"]}
        told_diff = now["Logit difference"].replace("−", "-")
        assert f"{float(numbers['logit difference']):+.2f}" == told_diff
        assert numbers["rank of ' 6'"] == now["Rank of the answer"]


def test_a_download_says_what_was_asked_of_which_model() -> None:
    told = component(opened(model="seq-gpt2", prompt="1 2\n3", ablations="keep 0.1",
                            method="scale(0.5)", positions="0-1"), "rankings")  # fmt: skip
    assert told["title"] == "seq-gpt2 after “1 2⏎3”"
    assert told["about"] == "Ablated: keep 0.1 (scale(0.5), positions 0-1)"
    assert component(opened(), "rankings")["about"] == "Nothing is ablated."


def test_typed_sites_reach_grid_ranking_and_link() -> None:
    page = opened()
    page.text_input(key="sites").set_value("a0 m1").run()
    assert not page.exception and not page.error
    assert component(page, "head_grid")["picked"] == [*range(8), 17]
    assert component(page, "rankings")["sites"] == "9 sites changed"
    assert page.query_params["ablations"] == "a0 m1"


def test_undo_and_clear() -> None:
    page = opened()
    assert next(b for b in page.button if b.label == "Undo").disabled
    page.text_input(key="sites").set_value("0.1").run()
    assert not next(b for b in page.button if b.label == "Undo").disabled
    page.text_input(key="sites").set_value("0.1 0.2").run()
    undo = next(b for b in page.button if b.label == "Undo")
    undo.click().run()
    assert page.text_input(key="sites").value == "0.1"
    next(b for b in page.button if b.label == "Clear").click().run()
    assert page.text_input(key="sites").value == ""
    next(b for b in page.button if b.label == "Undo").click().run()
    assert page.text_input(key="sites").value == "0.1"


def test_an_example_fills_prompt_answer_and_references() -> None:
    page = opened()
    page.button_group(key="_example").set_value("Months").run()
    assert not page.exception and not page.error
    assert page.text_area(key="prompt").value == "January February March April"
    assert component(page, "rankings")["rows"][0]["token"] == "␣May"


@pytest.mark.parametrize("method", ["mean", "mean_by_position", "resample", "scale", "set"])
def test_every_method_can_be_chosen(method: str) -> None:
    page = opened(model="seq-gpt2", prompt="1 2 3 4", answer=" 5", ablations="a0",
                  corrupted="8 1 6 3", references=["7 3 9 2", "5 9 1 6"])  # fmt: skip
    page.selectbox(key="method").set_value(method).run()
    assert not page.exception and not page.error
    assert component(page, "rankings")["sites"] == "8 sites changed"


def test_bad_words_in_the_boxes_are_said_and_mended() -> None:
    page = opened()
    page.text_input(key="sites").set_value("13.40 nonsense").run()
    assert "not a site" in said(page) and not page.exception
    page.text_input(key="sites").set_value("0.1").run()
    assert not page.error
    page.text_input(key="positions").set_value("everywhere").run()
    assert "names no positions" in said(page) and not page.exception


def test_a_link_to_a_bad_model_lets_go_of_the_reader() -> None:
    page = opened(model="/no/such/directory", prompt="1 2 3")
    page.selectbox(key="model").set_value("seq-gpt2").run()
    page.text_area(key="prompt").set_value("2 3 4").run()
    assert not page.error and page.query_params["model"] == "seq-gpt2"
    assert page.query_params["prompt"] == "2 3 4"


def test_a_text_too_long_is_said() -> None:
    page = opened()
    page.text_area(key="prompt").set_value("1 " * 150_000).run()
    assert "300,008 characters" in unescaped(said(page)) and not page.exception
    page.text_area(key="prompt").set_value("1 2").run()
    assert not page.error


def test_others_parameters_in_the_address_are_left_alone() -> None:
    page = opened(utm_source="x")
    assert not page.error and page.text_area(key="prompt").value == "1 2 3 4"


def test_references_keep_their_line_breaks() -> None:
    given = ["a\u2028b", "c\rd", "e\\nf\n\\"]
    page = opened(model="seq-gpt2", prompt="1 2", references=given)
    assert not page.exception and page.query_params["references"] == given


def test_sites_another_model_has_are_kept_and_told() -> None:
    page = opened(model="seq-gpt2", prompt="1 2 3", ablations="0.1 9.9")
    assert component(page, "head_grid")["picked"] == [1]
    assert "layers are 0 to 5" in unescaped(said(page))
    assert page.text_input(key="sites").value == "0.1 9.9"


def test_images_in_what_goes_wrong_are_not_fetched() -> None:
    page = opened(model="![x](https://evil.example/a.png)")
    assert "![x](" not in said(page) and "evil" in said(page)


def test_markup_in_a_prompt_stays_text() -> None:
    page = opened(model="seq-gpt2", prompt="<script>alert(1)</script> 1 2")
    assert not page.exception
    assert any("<" in token[1] for token in component(page, "token_strip")["tokens"])


def test_what_a_run_that_was_cut_off_drew_last_comes_up_with_its_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own, runs = prompt_tokens.prompt_tokens, []

    def cut_off(e: engine.Experiment) -> None:
        runs.append(e)
        if len(runs) == 1:
            raise RerunException(
                RerunData(widget_states=WidgetStates())
            )  # as where the browser asks for another run
        own(e)

    monkeypatch.setattr(prompt_tokens, "prompt_tokens", cut_off)
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
    assert len(runs) == 2 and not page.exception
    box = page.text_input(key="positions")
    assert (box.value, box.proto.value, box.proto.set_value) == ("all", "all", True)
    page.run()
    assert not page.text_input(key="positions").proto.set_value  # what is typed meanwhile stands
