"""An experiment is a value: every form of it reads back equal, and hostile forms are refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine

texts = st.text(max_size=40)
experiments = st.builds(
    engine.Experiment,
    model=texts, prompt=texts, corrupted=texts, answer=texts, distractor=texts,
    ablations=st.sampled_from(["", "1.3 m2", "keep 0.1 a2", "keep+mlps", "n3.14"]).map(
        engine.ablations
    ),
    method=st.sampled_from(
        ["zero", "mean", "mean_by_position", "resample", "scale(-0.25)", "set(1e-07)"]
    ),
    positions=st.sampled_from(["all", "prompt", "generated", "0", "0-3,5,-1", "-2"]),
    references=st.lists(st.text(min_size=1, max_size=40), max_size=3),
    prepend_bos=st.sampled_from([None, True, False]),
)  # fmt: skip


@given(experiments)
def test_every_form_reads_back_equal(e: Any) -> None:
    assert engine.Experiment.from_url(e.to_url()) == e
    assert engine.Experiment.from_url("http://127.0.0.1:8501/" + e.to_url()) == e
    assert engine.Experiment.from_json(e.to_json()) == e
    assert eval(e.to_python(), {"engine": engine}) == e
    assert hash(engine.Experiment.from_json(e.to_json())) == hash(e)


def test_only_what_differs_from_the_defaults_is_written() -> None:
    e = engine.Experiment(prompt="1 2")
    assert e.to_dict() == {"model": "seq-gpt2", "prompt": "1 2"}
    assert e.to_url() == "?model=seq-gpt2&prompt=1+2"


def test_lone_surrogates_survive_the_link() -> None:
    e = engine.Experiment(prompt="a\ud800b")
    assert engine.Experiment.from_url(e.to_url()) == e
    assert engine.Experiment.from_json(e.to_json()) == e


@pytest.mark.parametrize(
    "link",
    [
        "?ablations=0-99999.0-99999",
        "?ablations=<script>alert(1)</script>",
        "?method=scale(nan)",
        "?method=set(1e999)",
        "?method=zero(3)",
        "?method=scale",
        "?positions=5-2",
        "?positions=0-99999999999",
        "?prompt=a&prompt=b",
        "?prepend_bos=perhaps",
        "?prompt=" + "x" * 300_000,
        "?" + "&".join(f"references={i}" for i in range(3000)),
        "?ablations=keep+n1.1",
    ],
)
def test_a_hostile_link_is_refused_in_words(link: str) -> None:
    with pytest.raises(engine.EngineError) as told:
        engine.Experiment.from_url(link)
    assert str(told.value).endswith(".")


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", "{", '{"sites": "1.1"}', '{"prompt": 3}', '{"ablations": 7}',
     '{"references": "a"}', '{"references": [1]}', '{"method": null}', '{"prepend_bos": "yes"}',
     "[" * 100_000, json.dumps({"prompt": "x" * 300_000})],
)  # fmt: skip
def test_json_that_is_no_experiment_is_refused_in_words(text: str) -> None:
    with pytest.raises(engine.EngineError):
        engine.Experiment.from_json(text)


def test_other_parameters_of_a_link_are_left_to_others() -> None:
    assert engine.Experiment.from_url("?prompt=a&utm_source=x") == engine.Experiment(prompt="a")


def test_positions_are_counted_from_the_prompts_end_where_negative() -> None:
    at = engine.Positions.parse("0-1,-1").at
    assert at(5, 7) == (0, 1, 4)
    assert engine.Positions.parse("generated").at(5, 7) == (5, 6)
    assert engine.Positions.parse("prompt").at(5, 7) == (0, 1, 2, 3, 4)
    with pytest.raises(engine.ExperimentError, match="5 tokens, positions 0 to 4"):
        engine.Positions.parse("5").at(5, 7)
