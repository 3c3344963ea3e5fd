"""The Generate page by Streamlit's own AppTest: what needs no browser."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import pytest
from streamlit.delta_generator import DeltaGenerator
from streamlit.testing.v1 import AppTest

import engine
from pages._parts.generate import settings
from tests.pages.test_explore import component, said, unescaped
from tests.support.alone import printed
from tests.support.opening import codes_of, page_at
from tests.support.rows import assert_same
from tests.support.some import some
from tests.support.tiny_models import Tiny

E = engine.Experiment("seq-gpt2", "1 2 3 4", answer=" 5", distractor=" 4", ablations="0.1 0.2")


def opened(**query: str) -> AppTest:
    asked = {"model": E.model, "prompt": E.prompt, "answer": E.answer, "distractor": E.distractor}
    return over(page_at("generate", {**asked, "ablations": str(E.ablations), **query}))


def over(page: AppTest) -> AppTest:
    """The page once what it asked of many prompts or answers is over."""
    while any(one.key in ("_stop_many", "_stop_answers") for one in page.button):
        page.run()
    return page


def shown(page: AppTest) -> list[dict]:
    return component(page, "generation")["steps"]


def ids(steps: list, run: str = "clean") -> list[int]:
    """Of the component's steps, or of the engine's."""
    if steps and isinstance(steps[0], dict):
        return [step[run]["id"] for step in steps if step[run]]
    return [getattr(step, run).token_id for step in steps if getattr(step, run)]


def words(page: AppTest) -> str:
    told = [*page.caption, *page.info, *page.warning, *page.error]
    return unescaped(" ".join(each.value for each in told))


def test_both_texts_are_the_engines_with_every_steps_best_tokens() -> None:
    page = opened()
    assert not page.exception and not page.error
    steps = list(engine.generate(E, 20))
    for mine, own in zip(shown(page), steps, strict=True):
        assert mine["parted"] == own.parted
        for run in ("clean", "ablated"):
            told, meant = mine[run], getattr(own, run)
            assert told["id"] == meant.token_id and told["entropy"] == f"{meant.entropy:.3f}"
            assert [t[0] for t in told["top"]] == meant.top.ids.tolist()
            assert [t[5] for t in told["top"]] == meant.top.moves.tolist()


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ({"temperature": "1.1", "top_k": "20", "top_p": "0.9", "seed": "7"},
         {"temperature": 1.1, "top_k": 20, "top_p": 0.9, "seed": 7}),
        ({"from_step": "4", "until_step": "9"}, {"from_step": 4, "until_step": 9}),
        ({"ids": "retokenize"}, {"retokenize": True}),
        ({"prefix": "282 285", "ablated_prefix": "282 283"},
         {"prefix": (282, 285), "ablated_prefix": (282, 283)}),
    ],
)  # fmt: skip
def test_a_link_opens_with_how_the_text_is_made(
    query: dict[str, Any], options: dict[str, Any]
) -> None:
    page = opened(ablations="a0", **query)
    assert not page.exception and not page.error, said(page)
    e = engine.Experiment(**{**vars(E), "ablations": "a0"})
    steps = list(engine.generate(e, 20, **options))
    assert [ids(shown(page), run) for run in ("clean", "ablated")] == [
        ids(steps, run) for run in ("clean", "ablated")
    ]
    for name, value in query.items():
        assert value in (page.query_params[name], page.query_params[name][0])


def test_what_acted_earlier_gives_way_to_what_acts_now() -> None:
    page = opened(ablations="a0 a1", earlier="until 4: ; until 9: m1")
    e = engine.Experiment(**{**vars(E), "ablations": ""})
    steps = list(engine.generate(e, 20, switches={4: "m1", 9: "a0 a1"}))
    assert ids(shown(page), "ablated") == ids(steps, "ablated")
    clean = ids(steps)
    assert ids(shown(page), "ablated")[:4] == clean[:4] and ids(steps, "ablated") != clean


def test_steps_from_and_until_hold_for_what_acted_earlier_too() -> None:
    asked = settings.Asked(E, earlier=((4, "m1"), (9, "")), from_step=2, until_step=12)
    e, options = asked.call()
    assert str(e.ablations) == "m1"
    assert options == {"from_step": 2, "until_step": 12, "switches": {4: "", 9: "0.1 0.2"}}


def test_a_switch_from_here_on_keeps_the_text_up_to_there() -> None:
    page = opened(ablations="", acts="here", step="6")
    page.text_input(key="sites").set_value("a0").run()
    assert not page.exception and page.text_input(key="earlier").value == "until 6:"
    assert "earlier" in page.query_params
    steps = list(engine.generate(engine.Experiment(**{**vars(E), "ablations": "a0"}), 20,
                                 from_step=6))  # fmt: skip
    assert ids(shown(page), "ablated") == ids(steps, "ablated")
    first = next(step["index"] for step in shown(page) if step["parted"])
    assert first >= 6


def test_going_on_gives_what_more_tokens_at_once_would() -> None:
    page = opened(new_tokens="7", temperature="1.3")
    page.button(key="_go_on").click().run()
    assert page.text_input(key="new_tokens").value == "27" and not page.exception
    steps = list(engine.generate(E, 27, temperature=1.3))
    for run in ("clean", "ablated"):
        assert ids(shown(page), run) == ids(steps, run)


def test_positions_can_be_chosen_here() -> None:
    page = opened(positions="prompt")
    assert page.button_group(key="_where").value == "prompt"
    page.button_group(key="_where").set_value("generated").run()
    assert page.text_input(key="positions").value == "generated" and not page.exception
    e = engine.Experiment(**{**vars(E), "positions": "generated"})
    assert ids(shown(page), "ablated") == ids(list(engine.generate(e, 20)), "ablated")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"new_tokens": "0"}, "0 tokens are nothing to look at"),
        ({"new_tokens": "many"}, "“many” is not a whole number"),
        ({"new_tokens": "9" * 30}, "of the 999,999"),
        ({"new_tokens": "-3"}, "-3 tokens are nothing to look at"),
        ({"new_tokens": ""}, "“” is not a whole number"),
        ({"temperature": "nan"}, "“nan” is not a number"),
        ({"temperature": "1", "seed": "-1"}, "A seed is a whole number"),
        ({"temperature": "-2"}, "The temperature is 0"),
        ({"temperature": "1", "top_p": "7"}, "top-p is a probability"),
        ({"prefix": "x"}, "“x” is no token id"),
        ({"prefix": "99999999"}, "outside the model"),
        ({"from_step": "5", "until_step": "2"}, "never acts"),
        ({"earlier": "soon"}, "does not say what acted earlier"),
        ({"prompt": "1 " * 200}, "at most 128"),
        ({"prompt": ""}, "The prompt is empty"),
        ({"method": "resample", "corrupted": "1 2 3 4 5 6"}, "6 tokens"),
        ({"method": "mean_by_position", "corrupted": "1 2 3 4 5 6"}, "6 tokens"),
        ({"positions": "99"}, "Position 99 is not in the prompt"),
        ({"prefix": "282", "ablated_prefix": "282 283"}, "give both as many"),
        ({"earlier": "until 3: 9.9"}, "9.9 is in layer 9"),
        ({"ids": "retokenize", "from_step": "3"}, "choose one of the two"),
        ({"generate": "many", "new_tokens": "0"}, "0 tokens are nothing to look at"),
        ({"generate": "many", "new_tokens": "9" * 30, "n_prompts": "2"}, "leave no room"),
        (
            {
                "generate": "many",
                "method": "resample",
                "corrupted": "1 2 3 4 5 6",
                "n_prompts": "3",
            },
            "3 prompts are not run, or not in every run. The corrupted prompt",
        ),
        (
            {
                "generate": "many",
                "source": "written",
                "prompts": "=> 4\n1 2 => 3",
                "new_tokens": "2",
            },
            "1 prompt is not run, or not in every run. The prompt is empty",
        ),
        ({"generate": "many", "source": "written", "prompts": "1 " * 200}, "at most 128"),
        ({"generate": "answers", "method": "resample", "corrupted": "1 2 3 4 5 6"}, "6 tokens"),
        ({"generate": "answers", "prompt": ""}, "The prompt is empty"),
        ({"generate": "many", "controls": "3", "ablations": "a0"}, "not layer-matched"),
        ({"generate": "many", "controls": "3", "ablations": ""}, "Controls need a set"),
        ({"generate": "many", "n_prompts": "-1"}, "examples can be drawn"),
        ({"generate": "many", "sets": "a0"}, "is no set"),
        ({"generate": "many", "source": "written"}, "Paste prompts or choose a file"),
        ({"generate": "answers", "candidates": "", "answer": "", "distractor": ""}, "Type cand"),
        ({"generate": "answers", "prompt": "1 " * 200}, "at most 128"),
    ],
)
def test_what_goes_wrong_is_said_and_the_page_stands(query: dict[str, Any], told: str) -> None:
    page = opened(**{"new_tokens": "2", **query})
    assert not page.exception and told in words(page), words(page)
    assert not {"_stop", "_stop_many"} & {one.key for one in page.button}
    page.text_area(key="prompt").set_value("1 2 1 2").run()
    assert not page.exception


def test_too_few_tokens_are_told_as_they_were_asked_for_behind_a_text_too() -> None:
    page = opened(new_tokens="7")
    for asked in ("0", "-1"):
        page.text_input(key="new_tokens").set_value(asked).run()
        assert f" {asked} tokens are nothing to look at" in f" {words(page)}"
    page.text_input(key="new_tokens").set_value("9" * 12).run()
    assert "125 of the 999,999,999,999 tokens fit behind the prompt's 4" in words(page)
    assert len(shown(page)) == 125 and not page.exception


@pytest.mark.parametrize("name", ["step", "seed", "new_tokens"])
def test_what_looks_like_a_number_and_is_none_harms_nothing(name: str) -> None:
    page = opened(temperature="1", **{name: "²"})
    assert not page.exception
    button = page.button(key="_go_on")
    assert button.disabled == (name != "step")
    if not button.disabled:
        assert not button.click().run().exception and len(shown(page)) == 40


def test_a_text_that_ends_at_once_says_so(tiny: Tiny) -> None:
    model = str(tiny("llama"))
    prompt = "t1 t2"
    first = some(next(iter(engine.generate(engine.Experiment(model, prompt), 1))).clean).token_id
    ending = str(tiny("llama", eos_token_id=first))
    page = opened(model=ending, prompt=prompt, ablations="")
    assert not page.exception
    assert "ends at once" in component(page, "generation")["says"]
    assert page.button(key="_go_on").disabled


def test_an_answer_that_cannot_be_written_is_said_beside_the_others() -> None:
    page = opened(model="seq-llama", generate="answers", prompt="1 2 3 5 8", candidates=" 13\n 🚀")
    assert not page.exception and not page.error
    assert len(page.dataframe[0].value) >= 3


def test_whole_answers_are_ranked_after_fibonacci() -> None:
    page = opened(model="seq-llama", generate="answers", prompt="1 2 3 5 8", answer="",
                  distractor="", ablations="a0")  # fmt: skip
    found = engine.rank_answers(
        engine.Experiment("seq-llama", "1 2 3 5 8", ablations="a0"), [" 13", " 14", " 21"]
    )
    table = page.dataframe[0].value
    assert [name.replace("␣", " ") for name in table["answer"]] == [a.text for a in found.answers]
    first = found.answers[0]
    assert len(first.ids) > 1 and f"{some(first.clean).log_prob:.3f}"[1:] in table["clean"][0]


def test_many_prompts_stand_in_one_table_with_what_stayed_right() -> None:
    page = opened(generate="many", family="months", n_prompts="8", new_tokens="4",
                  ablations="a0", sets="late: 5.0 5.1", matched="anywhere")  # fmt: skip
    assert not page.exception and not page.error, said(page)
    totals, rows = (frame.value for frame in page.main.dataframe)
    assert list(totals["run"]) == ["clean", "ablated", "late"] and len(rows) == 8
    found = engine.generate_many(
        engine.Experiment("seq-gpt2"), engine.examples("months", 8), 4,
        sets={"ablated": "a0", "late": "5.0 5.1"},
    ).result()  # fmt: skip
    for line, t in zip(totals["right"], found.totals, strict=True):
        assert line == f"{t.share_right:.0%} ({t.right} of {t.judged})"


def interrupted(monkeypatch: pytest.MonkeyPatch, at: Any, how: Any) -> Any:
    """Has the first work on many prompts meet `how(work)` when so many of its parts have come.

    Returns: the questions that are begun, as they come."""
    begin, begun = engine.begin, []

    def beginning(question: Any, *place: Any, **options: Any) -> Any:
        work = begin(question, *place, **options)
        if not isinstance(question, engine.GenerateMany):
            return work
        begun.append(question)
        if len(begun) == 1:
            within = work.within

            def some(seconds: Any) -> Iterator[Any]:
                n = 0
                for part in within(seconds):
                    n += part is not None
                    yield part
                    if n == at:
                        how(work)
                        return

            work.within = some  # type: ignore[method-assign, assignment]
        return work

    monkeypatch.setattr(engine, "begin", beginning)
    return begun


def test_what_is_done_of_many_prompts_stays_and_the_rest_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    query = {"generate": "many", "n_prompts": "8", "new_tokens": "4", "ablations": "a0"}
    query |= {"controls": "2", "matched": "anywhere"}
    whole = opened(**query).dataframe[1].value
    begun = interrupted(monkeypatch, 3, lambda work: work.cancel())
    page = opened(**query)
    assert len(page.dataframe[1].value) == 3 and "3 of 8 prompts are done" in words(page)
    done = [whole["prompt"].tolist().index(one) for one in page.dataframe[1].value["prompt"]]
    page.text_area(key="prompt").set_value("A B C").run()
    assert len(begun) == 1 and len(page.dataframe[1].value) == 3
    over(page.button(key="_again_many").click().run())
    assert not page.exception and [sorted(one.done) for one in begun] == [[], sorted(done)]
    assert page.dataframe[1].value.equals(whole)
    page.text_area(key="prompt").set_value("A B").run()
    assert len(begun) == 2 and page.dataframe[1].value.equals(whole)


def test_what_goes_wrong_on_the_way_is_said_and_can_be_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(work: Any) -> None:
        raise engine.EngineError("The memory gave out.")

    interrupted(monkeypatch, 2, fail)
    page = opened(generate="many", n_prompts="6", new_tokens="3", ablations="a0")
    assert not page.exception and "The memory gave out." in words(page)
    assert "_stop_many" not in {one.key for one in page.button}
    assert len(page.dataframe[1].value) == 2
    over(page.button(key="_again_many").click().run())
    assert not page.error and len(page.dataframe[1].value) == 6


def test_the_text_as_it_was_stands_beside_the_one_with_the_switch() -> None:
    page = opened(ablations="a1", earlier="until 6: a0")
    e = engine.Experiment(**{**vars(E), "ablations": "a0"})
    steps = list(engine.generate(e, 20, switches={6: "a1"}))
    for run in ("clean", "ablated", "unswitched"):
        assert ids(shown(page), run) == ids(steps, run)
    told = component(page, "generation")
    assert "a1 (zero) from step 6 on" in told["acts"] and told["switches"] == [[6, "a1"]]
    assert "still a0 (zero)" in told["unswitched"]
    page.button(key="_go_on").click().run()
    steps = list(engine.generate(e, 40, switches={6: "a1"}))
    for run in ("clean", "ablated", "unswitched"):
        assert ids(shown(page), run) == ids(steps, run)


def test_what_was_there_stays_as_the_unswitched_text_when_a_head_is_switched() -> None:
    page = opened(ablations="a0", acts="here", step="6")
    before = ids(shown(page), "ablated")
    page.text_input(key="sites").set_value("a1").run()
    assert not page.exception and page.text_input(key="earlier").value == "until 6: a0"
    assert ids(shown(page), "unswitched") == before != ids(shown(page), "ablated")
    assert ids(shown(page), "ablated")[:6] == before[:6]
    again = opened(ablations="a1", earlier="until 6: a0")
    for run in ("clean", "ablated", "unswitched"):
        assert ids(shown(again), run) == ids(shown(page), run)


def test_pasted_and_uploaded_prompts_bring_their_answers() -> None:
    page = opened(generate="many", source="written", new_tokens="3", prompts="1 2 3 => 4\nA B C")
    assert list(page.dataframe[1].value["answer"]) == ["␣4", ""]
    page.file_uploader[0].upload("p.csv", b"prompt,answer\n5 6 7, 8\n", "text/csv").run()
    assert not page.exception and list(page.dataframe[1].value["answer"]) == ["␣4", "", "␣8"]
    page.file_uploader[0].upload("p.txt", b"\xff\xfe", "text/plain").run()
    assert not page.exception and "cannot be read as UTF-8" in words(page)


def test_the_python_of_every_view_gives_the_numbers_of_its_csv(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[bytes] = []
    monkeypatch.setattr(
        DeltaGenerator, "download_button", lambda _self, _label, data, *_a, **_o: given.append(data)
    )
    codes, files = [], []
    for query in (
        {"temperature": "1.2", "seed": "3", "from_step": "2", "earlier": "until 5: m1",
         "new_tokens": "9", "prefix": "282 285", "method": "scale(0.5)"},
        {"generate": "many", "controls": "2", "n_prompts": "3", "new_tokens": "3", "sets": "m: m1"},
        {"generate": "many", "source": "written", "prompts": "1 2 => 3\na\\nb", "new_tokens": "3"},
        {"generate": "answers", "prompt": "1 2 3 5 8"},
    ):  # fmt: skip
        page = opened(**query)
        assert not page.exception and not page.error, said(page)
        codes.append(codes_of(page, "table(")[-1])
        files.append(given[-1].decode())
    script = "\nprint('---')\n".join(codes)
    for text, expected in zip(printed(script).split("---\n"), files, strict=True):
        rows = [ast.literal_eval(line) for line in text.splitlines() if line.startswith("{")]
        assert_same(rows, expected)


def test_the_choices_stay_when_the_reader_turns_pages() -> None:
    page = opened(generate="answers", candidates=" 6\n 7")
    page.switch_page("pages/explore.py").run().switch_page("pages/generate.py").run()
    assert page.button_group(key="generate").value == "answers" and not page.exception
    assert page.text_area(key="candidates").value == " 6\n 7"
