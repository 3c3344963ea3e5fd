"""What a tokenizer does not give back of a text is told, with the characters it happened to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

import engine
from engine.text.tokens import Tokenizer as Reader
from tests.conftest import real
from tests.support.tiny_models import save_model
from tests.support.tokenizer_kinds import KINDS, SLOW, save_kind

TEXTS = st.text(
    st.one_of(
        st.sampled_from("aheT1 \n\t\r€éÉﬁ日½\u200b\u0301😀\x07\xa0"),
        st.sampled_from(["the", "m1", " m2", "<r>", "<l>", "<unk>", "<s>", "  ", "A", "C"]),
        st.characters(exclude_categories=["Cs"]),
    ).flatmap(lambda part: st.just(part[:1])),
    max_size=12,
)
PARTS = st.lists(
    st.sampled_from(["the", "m1", " m2", "<r>", "<l>", "<unk>", "\n", " ", "é", "A", "\t", "ﬁ"]),
    max_size=8,
).map("".join)


def read_by(backend: Tokenizer, *added: AddedToken, unk: str | None = None) -> Reader:
    hf = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token=unk)
    hf.add_tokens(list(added))
    return Reader(hf)


def letters(*more: str, **options: Any) -> Tokenizer:
    t = Tokenizer(models.BPE({c: i for i, c in enumerate([*"abc", *more])}, [], **options))
    t.decoder = decoders.Fuse()
    return t


def bytes_with(*added: AddedToken) -> Reader:
    t = letters(*sorted(set(pre_tokenizers.ByteLevel.alphabet()) - {*"abc"}))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    t.decoder = decoders.ByteLevel()
    return read_by(t, *added)


@pytest.fixture(scope="module")
def kind(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made: dict[str, Reader] = {}

    def give(name: str) -> Reader:
        if name not in made:
            directory = tmp_path_factory.mktemp("kind")
            made[name] = (
                Reader.load(save_kind(name, directory))
                if name in (*KINDS, *SLOW)
                else Reader.load(real(name))
            )
        return made[name]

    return give


@settings(max_examples=60)
@given(text=st.one_of(TEXTS, PARTS))
@pytest.mark.parametrize(
    "name",
    [*KINDS, *SLOW, "gpt2-tokenizer", "llama2-tokenizer", "stories260K", "gpt-nano-sort"],
)
def test_whatever_does_not_come_back_is_told(name: str, text: Any, kind: Any) -> None:
    tokenizer = kind(name)
    try:
        tokens = tokenizer.encode(text, False)
    except engine.TokenError as refused:
        assert tokenizer.ids_of([text]) == [[]] and text
        assert "this tokenizer has nothing for" in str(refused)
        assert f"U+{ord(text[0]):04X}" in str(refused) and "empty" not in str(refused)
        return
    told = " ".join(tokens.warnings)
    assert ("read back as" in told) == (tokenizer.decode(tokens.ids) != text)
    unknown = tokenizer.hf.unk_token
    assert f"{unknown} in the text" not in told or unknown in text


def test_characters_dropped_without_a_token_are_named() -> None:
    tokenizer = read_by(letters())
    with pytest.raises(engine.TokenError, match=r"nothing for “é” \(U\+00E9\) and “€” \(U\+20AC"):
        tokenizer.encode("é€")
    assert "line feed (U+000A) leaves no token" in " ".join(tokenizer.encode("a\nb").warnings)
    (told,) = tokenizer.encode("a\u200bb").warnings  # and not as a token of its own
    assert "zero width space (U+200B) leaves no token" in told
    assert tokenizer.encode("").warnings == ()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("a\nb", "line feed (U+000A) is"),
        ("aééb", "“é” (U+00E9) is"),
        ("é€", "and “€” (U+20AC) are"),
    ],
)
def test_what_an_unknown_token_stands_for_is_named_and_not_called_text(
    text: str, named: str
) -> None:
    told = read_by(letters("<unk>", unk_token="<unk>"), unk="<unk>").encode(text).warnings
    assert any(f"{named} not in this vocabulary" in one for one in told)
    assert not any("in the text" in one for one in told)


@pytest.mark.parametrize(
    ("normalizer", "text", "told"),
    [
        (normalizers.Lowercase(), "aBC", "“B” (U+0042) is read as “b” and “C” (U+0043) is read"),
        (normalizers.NFKC(), "ａb", "“ａ” (U+FF41) is read as “a”"),
        (normalizers.NFKC(), "㏄", "“㏄” (U+33C4) is read as “cc”"),
        (normalizers.Strip(), " ab ", "2 spaces (U+0020) leave no token"),
        (normalizers.Replace("\t", ""), "a\tb", "tab (U+0009) leaves no token"),
        (normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]), "áb",
         "“á” (U+00E1) is read as “a”"),
    ],
)  # fmt: skip
def test_what_is_normalized_is_told_by_letter(normalizer: Any, text: str, told: str) -> None:
    backend = letters()
    backend.normalizer = normalizer
    assert told in " ".join(read_by(backend).encode(text).warnings)


@pytest.mark.parametrize(
    "model",
    [models.WordLevel({"a": 0}), models.WordPiece({"a": 0}), models.Unigram([("a", -1.0)])],
    ids=["word level", "word piece", "unigram"],
)
def test_a_tokenizer_that_fails_on_what_it_does_not_know_says_on_what(model: Any) -> None:
    backend = Tokenizer(model)
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = read_by(backend)
    prompt = tokenizer.encode("a a")
    with pytest.raises(engine.TokenError, match="no token for “é”"):
        tokenizer.encode("a é")
    ids, _ = tokenizer.in_place(prompt, " é")
    assert not tokenizer.writes(prompt, ids, " é")


def test_an_ordinary_error_for_a_prompt_of_which_nothing_is_left(tmp_path: Path) -> None:
    directory = save_model("gpt2", tmp_path)
    e = engine.Experiment(str(directory), prompt="\n", prepend_bos=False)
    for ask in (engine.next_token, engine.logit_lens, engine.attention):
        with pytest.raises(engine.TokenError, match=r"nothing for line feed \(U"):
            ask(e)
    found = engine.twins(engine.Experiment(str(directory), prompt="\n")).twins
    assert any("nothing for" in twin.error and twin.next is None for twin in found)
    assert "BOS is all the model reads" in " ".join(engine.tokenize(str(directory), "\n").warnings)


SPACES = [" ", "\n", "\t", "\n\n", " \n\t"]


@pytest.mark.parametrize("beside", SPACES)
@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize(("lstrip", "rstrip"), [(1, 0), (0, 1), (1, 1), (0, 0)])
def test_what_a_marker_swallows_is_told_by_count_and_kind(
    lstrip: int, rstrip: int, special: bool, beside: str
) -> None:
    marker = AddedToken("<|user|>", lstrip=bool(lstrip), rstrip=bool(rstrip), special=special,
                        normalized=False)  # fmt: skip
    tokenizer = bytes_with(marker)
    text = f"a{beside}<|user|>{beside}b"
    tokens = tokenizer.encode(text)
    told = [one for one in tokens.warnings if "swallows" in one]
    assert len(told) == bool(lstrip or rstrip)
    for side, eats in (("in front of", lstrip), ("behind", rstrip)):
        for c, name in ((" ", "space"), ("\n", "line feed"), ("\t", "tab")):
            n = beside.count(c)
            said = f"{n} {name}{'s' if n > 1 else ''} (U+{ord(c):04X}) {side} it"
            assert any(said in one for one in told) == bool(n and eats), (said, told)
    kept = text[: 1 if lstrip else 1 + len(beside)] + "<|user|>" + ("" if rstrip else beside) + "b"
    assert "".join(tokens.texts) == tokenizer.decode(tokens.ids) == kept
    assert "".join(text[a:b] for a, b in tokens.offsets) == text


def test_a_marker_with_nothing_beside_it_swallows_nothing() -> None:
    for options in ({"rstrip": True}, {"lstrip": True}, {"single_word": True}):
        tokenizer = bytes_with(AddedToken("<m>", **options))
        for text in ("<m>", "a<m>b", "<m>a", "a b"):
            assert not any("swallows" in one for one in tokenizer.encode(text).warnings)
