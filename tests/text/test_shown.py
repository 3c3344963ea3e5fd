"""Tokens as people read them: by both bundled tokenizers, whose tokens may be bytes."""

from __future__ import annotations

import pytest

import engine
from engine.text.shown import token_text


def shown(model: str, text: str) -> list[str]:
    tokens = engine.tokenize(model, text, prepend_bos=False)
    return list(map(token_text, tokens.texts, tokens.pieces))


def hexed(parts: list[str]) -> bytes:
    """The bytes that are shown as hex."""
    inside = [each.split("⟩")[0] for part in parts for each in part.split("⟨")[1:]]
    return bytes.fromhex("".join(inside))


@pytest.mark.parametrize("model", ["seq-gpt2", "seq-llama"])
def test_every_byte_of_a_character_that_has_no_token_is_told_in_hex(model: str) -> None:
    parts = shown(model, "🙂")
    assert not any("�" in part for part in parts)
    assert hexed(parts) == "🙂".encode()


def test_a_byte_token_that_is_a_character_has_its_sign_before_its_hex() -> None:
    assert "⏎⟨0A⟩" in shown("seq-llama", "1\n2")
    assert "⏎" in shown("seq-gpt2", "1\n2")


@pytest.mark.parametrize(
    ("text", "piece", "meant"),
    [
        (" 5", "Ġ5", "␣5"),
        ("", "▁", "∅"),
        (" �", "ĠðŁ", "␣⟨F0 9F⟩"),
        ("a�b", "aÿb", "a⟨FF⟩b"),
        ("�", "ï¿½", "�"),  # a whole character: the one that stands for others
        ("�", "<0xF0>", "⟨F0⟩"),
        ("<0x0A>", "<0x0A>", "<0x0A>"),  # its letters, not the byte
    ],
)
def test_what_is_no_character_is_hex_and_all_else_text(text: str, piece: str, meant: str) -> None:
    assert token_text(text, piece) == meant


def test_no_figure_and_no_note_has_the_vocabularys_own_marks() -> None:
    e = engine.Experiment("seq-gpt2", "1 2 3 4", answer=" 5 6", distractor=" 5 7")
    lens, sweep = engine.logit_lens(e, at="answer"), engine.sweep(e, per_position=True)
    features = engine.active_features(e, engine.bundled_sae("seq-gpt2-r3"))
    told = [
        sweep.positions_figure().layout.xaxis.ticktext or sweep.positions_figure().data[0].x,
        features.figure().layout.xaxis.ticktext or features.figure().data[0].x,
        lens.shown[len(lens.tokens) :],
        lens.notes,
        sweep.notes,
    ]
    for one in told:
        assert "Ġ" not in " ".join(map(str, one))
    assert "␣2" in " ".join(map(str, told[0])) and "␣2" in " ".join(map(str, told[1]))
    assert told[2] == ("␣5",) and any("both begin with ␣5:" in note for note in lens.notes)
