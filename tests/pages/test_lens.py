"""The lens page by Streamlit's own AppTest: what needs no browser."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

import engine
from pages._parts.lens import views as lens_views
from tests.support.alone import printed
from tests.support.opening import codes_of, page_at

E = engine.Experiment(
    model="seq-gpt2", prompt="1 2 3 4", answer=" 5", distractor=" 4", ablations="a0"
)


def opened(**query: str) -> AppTest:
    asked = {"model": E.model, "prompt": E.prompt, "answer": E.answer, "distractor": E.distractor}
    return page_at("lens", {**asked, **query})


def sent(page: AppTest, widget: str) -> list[dict]:
    protos = [c.proto for c in page.get("bidi_component")]
    return [json.loads(p.json) for p in protos if p.component_name.split(".")[-1] == widget]


def grid(page: AppTest) -> dict:
    (one,) = sent(page, "lens_grid")
    return one


def lines(page: AppTest) -> dict:
    (one,) = sent(page, "figure")
    return one


def numbers(z: object) -> np.ndarray:
    """Plotly's own way of sending an array."""
    if isinstance(z, dict):
        import base64

        shape = [int(n) for n in z["shape"].split(",")]
        return np.frombuffer(base64.b64decode(z["bdata"]), z["dtype"]).reshape(shape)
    return np.array(z, float)


def shown_by(page: AppTest, nth: int) -> Any:
    """What the nth code to copy has in `shown`."""
    names: dict = {}
    code = codes_of(page, "engine.logit_lens(")[nth]
    exec(code, names)
    return names["shown"]


def said(page: AppTest) -> str:
    parts = [*page.error, *page.warning, *page.info, *page.caption]
    return " ".join(p.value for p in parts).replace("\\", "")


@pytest.mark.parametrize("run", ["clean", "ablated", "difference"])
@pytest.mark.parametrize("by", ["prob", "entropy", "rank", "divergence"])
def test_the_grid_its_csv_and_its_python_are_the_engines_numbers(run: str, by: str) -> None:
    page = opened(ablations="a0", run=run, by=by)
    assert not page.exception and not page.error
    meant = engine.logit_lens(E, at="answer").values(run, by)
    drawn = grid(page)
    order = np.argsort(-meant if by == "rank" else meant, axis=None, kind="stable")
    shares = np.array(drawn["shares"]).ravel()[order]
    assert (np.diff(shares) >= 0).all() and abs(shares).max() <= 1
    assert (shares.min() < 0) == (run == "difference" and bool((shares < 0).any()))
    np.testing.assert_allclose(shown_by(page, 0), meant, atol=1e-6)
    rows = list(csv.DictReader(io.StringIO(drawn["csv"])))
    assert list(rows[0])[:4] == ["layer", "position", "read", by]
    written = np.array([float(row[by]) for row in rows]).reshape(meant.shape)
    np.testing.assert_allclose(written, meant, rtol=1e-6)


def test_the_python_of_both_figures_gives_their_csv_in_a_fresh_interpreter() -> None:
    page = opened(ablations="a0", run="difference", by="divergence", top="10", stream="mlp_out")
    codes = codes_of(page, "engine.logit_lens(")
    assert len(codes) == 2
    script = f"""import json
{codes[0]}
grid = shown.ravel().tolist()
{codes[1]}
print(json.dumps([grid, {{name: values.tolist() for name, values in shown.items()}}]))"""
    shown, traced = json.loads(printed(script))
    drawn, followed = (
        list(csv.DictReader(io.StringIO(each["csv"]))) for each in (grid(page), lines(page))
    )
    np.testing.assert_allclose(shown, [float(row["divergence"]) for row in drawn], atol=1e-5)
    assert list(traced) == list(followed[0])[1:]
    for name, values in traced.items():
        np.testing.assert_allclose(values, [float(row[name]) for row in followed], atol=1e-5)


@pytest.mark.parametrize("follow", ["log_probs", "logits", "ranks"])
def test_answer_and_distractor_are_followed(follow: str) -> None:
    page = opened(ablations="a0", follow=follow)
    lens = engine.logit_lens(E, at="answer")
    drawn = lines(page)
    traces = [line for line in drawn["figure"]["data"] if line["mode"] == "lines+markers"]
    meant = [
        getattr(getattr(run, name), follow)[:, -1]
        for run in (lens.clean, lens.ablated)
        for name in ("answer", "distractor")
    ]
    for line, values in zip(traces, meant, strict=True):
        np.testing.assert_allclose(numbers(line["y"]), values, rtol=1e-5)
    shown = shown_by(page, 1)
    assert isinstance(shown, dict)
    for values, own in zip(shown.values(), meant, strict=True):
        np.testing.assert_allclose(values, own)
    first = drawn["csv"].splitlines()[0]
    assert first == "layer,clean_answer,clean_distractor,ablated_answer,ablated_distractor"
    assert f"clean, after layer {lens.clean.leads_from}" in said(page)


def test_nothing_ablated_is_one_pair_of_lines() -> None:
    page = opened()
    assert len(lines(page)["figure"]["data"]) == 2
    assert "ablated" not in lines(page)["csv"]


def test_the_plain_table_is_there_to_copy() -> None:
    page = opened(run="difference", ablations="a0", top="10")
    lens = engine.logit_lens(E, k=10, at="answer")
    assert not page.code
    texts = codes_of(page, "layer", "The last position as text")
    assert texts == [lens.text("clean"), lens.text("ablated")]


def test_the_choices_are_in_the_link_and_stay_between_pages() -> None:
    page = opened(ablations="a0")
    page.button_group(key="stream").set_value("mlp_out").run()
    page.button_group(key="run").set_value("ablated").run()
    page.selectbox(key="by").set_value("entropy").run()
    told = {"stream": "mlp_out", "run": "ablated", "by": "entropy"}
    assert {name: page.query_params[name] for name in told} == told or {
        name: page.query_params[name][0] for name in told
    } == told
    page.switch_page("pages/attention.py").run().switch_page("pages/lens.py").run().run()
    assert page.button_group(key="stream").value == "mlp_out"
    np.testing.assert_allclose(
        shown_by(page, 0),
        engine.logit_lens(E, stream="mlp_out", at="answer").values("ablated", "entropy"),
    )


def test_a_long_prompt_shows_its_end_and_all_of_it_when_asked() -> None:
    prompt = " ".join(str(n) for n in range(1, 61))
    page = opened(prompt=prompt, answer=" 61", distractor="")
    assert [position for position, _ in grid(page)["reading"]] == list(range(28, 60))
    assert grid(page)["before"] == 28
    assert "The last 32 of 60 positions" in said(page)
    page.button_group(key="span").set_value("all").run()
    assert np.array(grid(page)["texts"]).shape == (6, 60) and not grid(page)["before"]
    assert "positions." not in said(page)


def test_more_cells_than_a_browser_can_draw_are_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lens_views, "MOST_CELLS", 60)
    page = opened(prompt=" ".join(["1"] * 40), span="all")
    assert np.array(grid(page)["texts"]).shape == (6, 10) and grid(page)["before"] == 30
    assert "The last 10 of 40 positions" in said(page)


def test_without_an_answer_there_is_no_rank_and_no_line() -> None:
    page = opened(answer="", distractor="", by="rank")
    assert not page.exception and "no answer whose rank" in said(page)
    assert not sent(page, "figure")
    meant = engine.logit_lens(engine.Experiment(E.model, E.prompt)).values("clean", "prob")
    np.testing.assert_allclose(grid(page)["shares"], meant, atol=1e-4)


def test_llamas_space_before_the_answer_is_told() -> None:
    page = opened(model="seq-llama")
    assert "part after ␣" in said(page) and not page.exception
    n = len(engine.tokenize("seq-llama", E.prompt))
    assert np.array(grid(page)["texts"]).shape == (6, n + 1)


def test_markup_in_tokens_stays_text() -> None:
    page = opened(prompt="<b>1</b> & <script>", answer=" <i>", distractor="")
    assert not page.exception
    assert "<" in dict(grid(page)["reading"]).values()  # which the browser sets as text
    drawn = json.dumps([lines(page)["figure"], figure_of("<b>1</b> & <script>")])
    assert "<script" not in drawn and "<i>" not in drawn and "&lt;" in drawn


def figure_of(prompt: str) -> dict:
    """The grid as a notebook has it."""
    return json.loads(engine.logit_lens(replace(E, prompt=prompt)).figure().to_json())


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"prompt": ""}, "The prompt is empty"),
        ({"prompt": "1 " * 200}, "this model reads at most 128"),
        ({"ablations": "13.40"}, "layers are 0 to 5"),
        ({"ablations": "0.1", "method": "resample"}, "corrupted prompt"),
    ],
)
def test_what_goes_wrong_is_said_and_the_page_stands(query: dict[str, Any], told: str) -> None:
    page = opened(**query)
    assert not page.exception and told in said(page)
    page.text_area(key="prompt").set_value("1 2 1 2").run()
    assert not page.exception
