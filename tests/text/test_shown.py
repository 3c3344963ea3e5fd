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
