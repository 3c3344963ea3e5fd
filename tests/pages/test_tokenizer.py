"""The Tokenizer page by Streamlit's own AppTest, and the Python it offers to copy."""

from __future__ import annotations

import ast

import pytest
from streamlit.delta_generator import DeltaGenerator
from streamlit.testing.v1 import AppTest

from pages._parts.table import as_csv
from tests.conftest import real
from tests.pages.test_explore import component, said, unescaped
from tests.support.alone import printed
from tests.support.opening import codes_of, page_at

VIEWS = ("tokens", "twins", "tokenizers", "sentencepiece", "numbers", "answer", "batch")


def tokenizer_page(**query: str | list[str]) -> AppTest:
    return page_at("tokenizer", {"model": "seq-gpt2", "prompt": "1 2 3 4", **query})


def words(page: AppTest) -> str:
    told = [*page.caption, *page.info, *page.success, *page.warning, *page.markdown]
    return unescaped(" ".join(each.value for each in told))


def test_it_shows_every_token_with_its_bytes_and_the_way_back() -> None:
    page = tokenizer_page(prompt="5 é🚀")
    assert not page.exception and not page.error
    shown = page.dataframe[0].value
    assert list(shown["position"]) == list(range(len(shown)))
    assert "".join(shown["bytes"]).replace(" ", "") == "5 é🚀".encode().hex()
    assert set(shown["holds only part of"]) >= {"🚀 U+1F680"}
    assert "encoded again, they give the same ids" in words(page)


@pytest.mark.parametrize("show", VIEWS)
def test_every_view_opens_by_its_link_and_stands_with_each_model(show: str) -> None:
    for model in ("seq-gpt2", "seq-llama"):
        page = tokenizer_page(model=model, show=show, answer=" 5", distractor=" 4")
        assert not page.exception and not page.error, (show, model, said(page))
        assert page.button_group(key="show").value == show
        assert page.query_params.get("show") == (show if show != "tokens" else None)


def test_twins_stand_side_by_side_with_what_each_would_say() -> None:
    page = tokenizer_page(show="twins", answer="5")
    shown = component(page, "token_rows")
    names = [row["name"] for row in shown["rows"]]
    assert names == ["as it is", "with a space at its end", "with a space in front",
                     "with a line end", "with BOS on"]  # fmt: skip
    assert shown["heads"] == ["Next token, clean", "P(5), clean"]
    assert shown["rows"][0]["facts"][0][0][0] == "␣5"
    assert ["", "would re-tokenize"] in shown["rows"][1]["facts"][1]


def test_an_ablated_twin_never_stands_without_its_clean_run() -> None:
    shown = component(tokenizer_page(show="twins", answer=" 5", ablations="a0"), "token_rows")
    assert [h.split(", ")[1] for h in shown["heads"]] == ["clean", "ablated"] * 2
    assert shown["rows"][0]["facts"][2] != shown["rows"][0]["facts"][3]


def test_a_directory_with_a_tokenizer_alone_can_be_compared() -> None:
    page = tokenizer_page(show="tokenizers", prompt=" 13 a🚀")
    where = str(real("gpt2-tokenizer"))
    page.multiselect(key="tokenizers").set_value(["seq-llama", where, "/no/such"]).run()
    assert not page.exception and not page.error
    rows = component(page, "token_rows")["rows"]
    assert [row["name"] for row in rows] == ["seq-llama", where, "/no/such"]
    assert rows[1]["error"] == "" and "no directory" in rows[2]["error"]


def test_sentencepiece_is_set_beside_hugging_face_with_disagreements_marked() -> None:
    page = tokenizer_page(model="seq-llama", show="sentencepiece", prompt=" 13")
    assert "disagree at 1 place" in words(page)
    assert [b["differs"] for b in component(page, "token_rows")["blocks"]].count(True) == 1
    page = tokenizer_page(model="seq-llama", show="sentencepiece", prompt="1 2 3")
    assert "give the same ids" in words(page)
    assert "has no .model file" in words(tokenizer_page(show="sentencepiece"))


def test_it_says_whether_the_answer_would_change_the_prompts_tokens() -> None:
    page = tokenizer_page(show="answer", prompt="1 2 3 4 ", answer="5", distractor="x")
    assert "Yes: writing the answer “5” changes the last token of the prompt" in words(page)
    page = tokenizer_page(show="answer", answer=" 5", distractor="")
    assert "No: writing the answer “␣5” leaves every token" in words(page)


def test_many_prompts_are_read_and_a_bad_one_stops_no_other() -> None:
    page = tokenizer_page(show="batch")
    page.text_area(key="batch").set_value("1 2 3\na\\nb\n1 2 \n<script>alert(1)</script>").run()
    assert not page.exception and not page.error
    shown = page.dataframe[0].value
    assert list(shown["text"]) == ["1␣2␣3", "a⏎b", "1␣2␣", "<script>alert(1)</script>"]
    assert "Prompt 3: The prompt ends in a space" in words(page)


@pytest.mark.parametrize(
    ("name", "data", "texts"),
    [
        ("p.txt", b"1 2\r\na\\nb\n", ["1␣2", "a⏎b"]),
        ("p.csv", b'\xef\xbb\xbfn,prompt\n1,"a\nb"\n2,x\n', ["a⏎b", "x"]),
    ],
)
def test_prompts_can_be_uploaded(name: str, data: bytes, texts: list[str]) -> None:
    page = tokenizer_page(show="batch")
    page.file_uploader[0].upload(name, data, "text/plain").run()
    assert not page.exception and not page.error
    assert list(page.dataframe[0].value["text"]) == texts


def test_a_file_that_is_no_text_is_told() -> None:
    page = tokenizer_page(show="batch")
    page.file_uploader[0].upload("p.txt", b"\xff\xfe\x00", "text/plain").run()
    assert not page.exception and "cannot be read as UTF-8" in unescaped(said(page))


@pytest.mark.parametrize(
    "prompt",
    ["", "🚀👩‍👩‍👧é", "مرحبا بالعالم", "一二三四", "a\u200bb\x00\x1b\ufeff",
     "<script>alert(1)</script>", "1 " * 2000, "</s><s>", "\r\n\t \u202e"],
)  # fmt: skip
@pytest.mark.parametrize("model", ["seq-gpt2", "seq-llama"])
def test_any_prompt_is_shown_in_every_view(prompt: str, model: str) -> None:
    page = tokenizer_page(model=model, prompt=prompt, answer=" 5")
    for show in VIEWS:
        page.button_group(key="show").set_value(show).run()
        assert not page.exception and not page.error, (show, said(page))


def test_a_prompt_longer_than_the_model_reads_is_shown_and_told() -> None:
    page = tokenizer_page(prompt="1 " * 200)
    assert "seq-gpt2 reads at most 128 tokens" in words(page)
    assert len(page.dataframe[0].value) > 200


def test_hidden_characters_are_named() -> None:
    assert "U+200B (zero-width space) at character 1" in words(tokenizer_page(prompt="1\u200b2"))
    assert "U+00A0 (no-break space)" in words(tokenizer_page(prompt="1\u00a02"))


def test_the_tokenizers_compared_outlive_a_visit_to_another_page() -> None:
    page = tokenizer_page(show="tokenizers")
    page.multiselect(key="tokenizers").set_value(["seq-llama", "/no/such"]).run()
    page.switch_page("pages/explore.py").run().switch_page("pages/tokenizer.py").run()
    assert page.multiselect(key="tokenizers").value == ["seq-llama", "/no/such"]
    rows = component(page, "token_rows")["rows"]
    assert [row["name"] for row in rows] == ["seq-llama", "/no/such"] and not page.warning


def test_the_tokenizers_chosen_are_in_the_link() -> None:
    page = tokenizer_page(show="tokenizers")
    assert "other_tokenizers" not in page.query_params
    page.multiselect(key="tokenizers").set_value(["seq-llama", "/no/such"]).run()
    chosen = page.query_params["other_tokenizers"]
    page = tokenizer_page(show="tokenizers", other_tokenizers=chosen)
    assert page.multiselect(key="tokenizers").value == ["seq-llama", "/no/such"]
    rows = component(page, "token_rows")["rows"]
    assert [row["name"] for row in rows] == ["seq-llama", "/no/such"]
    page.multiselect(key="tokenizers").set_value([]).run()
    assert {"seq-gpt2", "seq-llama"} <= set(page.multiselect(key="tokenizers").value)
    assert "other_tokenizers" not in page.query_params and not page.exception


@pytest.mark.parametrize("name", ["/no/such", "../..", "<b>x</b>", "\x00", "a b c"])
def test_what_a_link_names_that_is_no_tokenizer_is_answered_by_a_sentence(name: str) -> None:
    page = tokenizer_page(show="tokenizers", other_tokenizers=f"seq-llama\n{name}\n\nseq-llama")
    assert not page.exception and not page.error, said(page)
    first, second = component(page, "token_rows")["rows"]
    assert first["name"] == "seq-llama" and not first["error"]
    assert second["name"] == name and second["error"].endswith(".")


def test_of_too_many_tokenizers_in_a_link_the_first_are_compared() -> None:
    page = tokenizer_page(
        show="tokenizers", other_tokenizers="\n".join(f"/no/{n}" for n in range(99))
    )
    assert not page.exception and "99 tokenizers are named" in words(page)
    assert len(component(page, "token_rows")["rows"]) == 20


def test_the_choices_of_a_page_outlive_a_visit_to_another() -> None:
    page = tokenizer_page(show="numbers", at="prompt")
    page.switch_page("pages/explore.py").run()
    assert page.button_group(key="at").value == "prompt"
    page.switch_page("pages/tokenizer.py").run()
    assert page.button_group(key="show").value == "numbers" and not page.exception


def test_the_python_of_every_view_gives_the_numbers_of_its_csv_in_a_fresh_interpreter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[bytes] = []
    monkeypatch.setattr(
        DeltaGenerator, "download_button", lambda _self, _label, data, *_a, **_o: given.append(data)
    )
    codes, files = [], []
    for show in VIEWS:
        page = tokenizer_page(model="seq-llama", prompt=" 13 x ", answer="5", show=show,
                              ablations="a0")  # fmt: skip
        if show == "batch":
            page.text_area(key="batch").set_value("1 2\n</s>\n 13").run()
        codes.append(codes_of(page, ".table()")[-1])
        numbers = show == "numbers"
        files.append(component(page, "figure")["csv"] if numbers else given[-1].decode())
    script = "\nprint('---')\n".join(codes)
    for show, text, expected in zip(VIEWS, printed(script).split("---\n"), files, strict=True):
        rows = [ast.literal_eval(line) for line in text.splitlines() if line.startswith("{")]
        assert rows and as_csv(rows) == expected, show
