"""Whatever is uploaded as CSV: its columns' names are names, however they are written."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine
from pages._parts.generate import many_form
from pages._parts.tokenizer import batch

HEADERS = (
    "prompt,answer", "Prompt,Answer", "PROMPT, ANSWER", "prompt, answer", " prompt ,answer ",
    '"prompt","answer"', '"Prompt", "Answer"', "\ufeffprompt,answer", "\n\nprompt,answer",
)  # fmt: skip
EXPECTED = [("1 2 3", " 4"), ("a, b", "")]


class File:
    """What Streamlit gives of an uploaded file."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self._data = name, text.encode()

    def getvalue(self) -> bytes:
        """Its bytes."""
        return self._data


def generated(text: str, name: str = "p.csv") -> list[tuple[str, str]]:
    return [(one.prompt, one.answer) for one in many_form._of_file(File(name, text))]


@pytest.mark.parametrize("header", HEADERS)
def test_every_upload_reads_the_columns_however_they_are_named(header: str) -> None:
    text = f'{header}\n1 2 3, 4\n"a, b",\n'
    assert generated(text) == EXPECTED
    assert batch._of_file(File("p.CSV", text)) == [prompt for prompt, _ in EXPECTED]
    assert [(p.prompt, p.answer) for p in engine.read_task(text, "mine").pairs] == EXPECTED


@pytest.mark.parametrize(("mark", "name"), [(";", "p.csv"), ("\t", "p.csv"), ("\t", "p.tsv")])
def test_columns_may_be_parted_by_what_a_spreadsheet_takes(mark: str, name: str) -> None:
    text = f"Prompt{mark}Note{mark}Answer\n1, 2, 3{mark}x{mark} 4\n"
    assert generated(text, name) == [("1, 2, 3", " 4")]
    bare = f"Prompt{mark}Answer\n1, 2, 3{mark} 4\n"
    assert engine.read_task(bare, "mine").pairs[0] == engine.Pair("1, 2, 3", answer=" 4")


def test_columns_in_another_order_and_others_between_are_read_by_name() -> None:
    text = "id,Answer,note,Prompt\n7, 4,seen,1 2 3\n8, 5,new,2 3 4\n"
    assert generated(text) == [("1 2 3", " 4"), ("2 3 4", " 5")]
    assert batch._of_file(File("p.csv", text)) == ["1 2 3", "2 3 4"]


def test_rows_without_names_are_prompt_and_answer_in_turn() -> None:
    assert generated("5 6 7, 8\n1 2\n") == [("5 6 7", " 8"), ("1 2", "")]
    assert generated("5 6 7\t 8\n1 2\n", "p.tsv") == [("5 6 7", " 8"), ("1 2", "")]
    assert batch._of_file(File("p.csv", "5 6 7, 8\n1 2\n")) == ["5 6 7", "1 2"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "question,answer\n1 2,3\n",
            "Line 1 names the columns “question, answer”; it needs prompt",
        ),
        ("prompt,answer,Prompt\na,b,c\n", "each once"),
        ("prompt,answer\n1, 2, 3, 4\n", "Line 2: there are 4 values for 2 columns"),
        ('prompt,answer\n"1 2 3,4\n', "Line 2: this is not CSV"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_line(text: str, told: str) -> None:
    with pytest.raises(engine.EngineError, match=told):
        generated(text)


def test_a_circuit_is_read_by_its_column_of_sites() -> None:
    for header in ("site,score", "Site , Score", "score;SITE"):
        mark = ";" if ";" in header else ","
        row = mark.join(["0.5", "0.1"] if header.startswith("score") else ["0.1", "0.5"])
        found = engine.Circuit.from_csv(f"{header}\n{row}\n", "c", "seq-gpt2", "", 6, 8)
        assert found.sites == (engine.Head(0, 1),)
    with pytest.raises(engine.EngineError, match="no column “site”"):
        engine.Circuit.from_csv("place\n0.1\n", "c", "seq-gpt2", "", 6, 8)


ROWS = st.tuples(st.text(min_size=1), st.text()).filter(
    lambda row: row[0].strip() and "\0" not in "".join(row)
)


@given(st.lists(ROWS, min_size=1, max_size=4), st.sampled_from(HEADERS[:6]))
def test_what_a_csv_writer_wrote_is_read_back(rows: Any, header: Any) -> None:
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows(rows)
    assert generated(f"{header}\r\n{out.getvalue()}") == rows
