"""Text to tokens and back, with every quirk on the way made visible.

One view everywhere: BOS is explicit, ids and raw pieces are always there, and an answer's tokens
are those it gets in place. A token's text is what it adds where it stands: decoded on its own it
loses spaces (Llama's id 29871 decodes to '', a word-level `e4` has none in front).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any

from cachetools import LRUCache, cachedmethod
from transformers import AutoTokenizer

from ..errors import ModelError, TokenError
from ..experiment.results import Tokens
from .by_bytes import ByteSpelling, bytes_of_piece, with_byte
from .by_decoder import DecoderSpelling, plain_word
from .decoded import decoded
from .notices import Notices
from .spaces import splits_at_spaces
from .spelling import Decoder, Spelling, Writing, decoder_of
from .stand_ins import check_file
from .surprises import clip, nothing_left, unreadable, unreadable_parts, without_text

_FILES = ("*.json", "*.model", "vocab*", "merges*", "tokenizer*")
_ANCHORS = ("\n", "x", ".", "0")
_KEPT = 2**17
"""Characters of texts of which the tokens are kept: a question reads the same ones again."""


class Tokenizer:
    """A Hugging Face tokenizer, read without loss.

    `adds_bos`: whether it prepends BOS by itself; `adds_no_others`: nor any other token. `bos_id`
    is None where it has none. `special`: its special tokens by id. `directory`: where it was read,
    None where that is not known.
    """

    def __init__(self, hf: Any, directory: Path | None = None) -> None:
        self._hf = hf
        self.directory = directory
        self._lock = threading.Lock()
        self._notices = Notices(self)
        self._kept: LRUCache[Any, Tokens] = LRUCache(_KEPT, lambda tokens: len(tokens.text) + 1)
        self._keeping = threading.Lock()
        self.bos_id: int | None = hf.bos_token_id
        self.special = {int(i): str(t) for i, t in hf.added_tokens_decoder.items() if t.special}
        plain = self.ids_if("a")
        text = "" if plain is None else "a"
        default = self._ids(text, special=True)
        self.adds_bos = self.bos_id is not None and default[:1] == [self.bos_id]
        self.adds_no_others = default[int(self.adds_bos) :] == (plain or [])

    @staticmethod
    def load(directory: Path) -> Tokenizer:
        """Read a tokenizer from a local directory, never running code that comes with it.

        Raises: ModelError for a directory without one.
        """
        for path in {path for pattern in _FILES for path in directory.glob(pattern)}:
            check_file(path)
        try:
            hf = AutoTokenizer.from_pretrained(
                str(directory), trust_remote_code=False, local_files_only=True
            )
            if len(hf) <= len(hf.all_special_ids):
                raise ValueError("it has no vocabulary")
            return Tokenizer(hf, directory)
        except Exception as wrong:
            raise ModelError(
                f"The tokenizer in “{directory}” cannot be read ({_first_line(wrong)}). It needs a "
                "tokenizer.json, or a tokenizer.model with its tokenizer_config.json."
            ) from wrong

    @property
    def hf(self) -> Any:
        """The tokenizer itself, for those who must hand it on."""
        return self._hf

    def encode(self, text: str, prepend_bos: bool | None = None) -> Tokens:
        """Tokenize a text as the model will see it.

        `prepend_bos` None does what the tokenizer does by itself.
        Raises: TokenError for text that is no Unicode or of which no token is left, or BOS asked
        of a tokenizer without one.
        """
        if not isinstance(text, str):
            raise TokenError(f"What is tokenized is a text, not {text!r:.60}.")
        return self._encoded(text, self._wants_bos(prepend_bos))

    @cachedmethod(attrgetter("_kept"), lock=attrgetter("_keeping"))
    def _encoded(self, text: str, bos: bool) -> Tokens:
        ids, offsets = self._encoding(text)
        if text and not ids and not bos:
            raise TokenError(nothing_left(text))
        warnings = self._notices.of(text, ids, offsets, bos)
        if bos:
            ids, offsets = [self.bos_id or 0, *ids], [(0, 0), *offsets]
        return Tokens(
            text=text,
            ids=tuple(ids),
            pieces=self.pieces(ids),
            texts=self.texts(ids),
            offsets=tuple(offsets),
            bos=bos,
            warnings=warnings,
        )

    def in_place(self, prompt: Tokens, answer: str) -> tuple[tuple[int, ...], bool]:
        """The ids an answer gets after a prompt, and whether writing it re-tokenizes the prompt.

        Returns: (ids, retokenizes). Where the prompt's own tokens would change, the ids are those
        of the answer by itself, without BOS or dummy space.
        Raises: TokenError for an answer that is no Unicode.
        """
        _check_letters(answer)
        prompt_ids = list(prompt.ids[int(prompt.bos) :])
        whole = self.ids_if(prompt.text + answer)
        if whole is not None and whole[: len(prompt_ids)] == prompt_ids:
            return tuple(whole[len(prompt_ids) :]), False
        for anchor in _ANCHORS:
            start, both = self.ids_if(anchor), self.ids_if(anchor + answer)
            if start is None or both is None:
                continue
            if both[: len(start)] == start and both[len(start) :]:
                return tuple(both[len(start) :]), bool(prompt.text)
        return tuple(self.ids_if(answer) or ()), bool(prompt.text)

    def writes(self, prompt: Tokens, ids: Sequence[int], text: str) -> bool:
        """Whether ids read as a text, behind a prompt or by themselves, spaces around it aside."""
        readings = "".join(self.texts(ids, prompt.ids)), self.decode(ids)
        return bool(ids) and text.strip() in [one.strip() for one in readings]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of many ids together; those without a token add nothing."""
        return self._decoded([list(ids)])[0]

    def pieces(self, ids: Sequence[int]) -> tuple[str, ...]:
        """The vocabulary's own name of each id; `<id 50300>` for ids that have none."""
        with self._lock:
            names = self._hf.convert_ids_to_tokens([int(i) for i in ids])
        return tuple(
            name if name is not None and self.has_token(i) else f"<id {i}>"
            for i, name in zip(ids, names, strict=True)
        )

    def has_token(self, token: int) -> bool:
        """Whether an id is one of the vocabulary's: models may have outputs beyond, or between."""
        return int(token) in self._known

    def without_text(self, ids: Sequence[int]) -> str:
        """A sentence on the first of these ids that has no token; empty where all have one."""
        first = next((int(i) for i in ids if not self.has_token(i)), None)
        return "" if first is None else without_text(first, max(self._known))

    def texts(self, ids: Sequence[int], before: Sequence[int] = ()) -> tuple[str, ...]:
        """What each token adds to the text, one behind the other after the ids before.

        `�` for each byte of an unfinished character, '' for an id that has no token.
        """
        return tuple(_text(data) for data in self.bytes_of(ids, before))

    def each_text(self, ids: Sequence[int], before: Sequence[int]) -> tuple[str, ...]:
        """What each of these tokens would add, were it the next after the ids before."""
        return tuple(map(_text, self.writing(before).each(ids)))

    def bytes_of(self, ids: Sequence[int], before: Sequence[int] = ()) -> tuple[bytes, ...]:
        """The bytes each token adds to the text, in UTF-8: of a character, maybe only a part."""
        if isinstance(self._spelling, ByteSpelling):
            return tuple(data for data, _ in self._byte_data(ids))
        writing = self.writing(before)
        return tuple(
            with_byte(added, data) if byte else added
            for (added, _), (data, byte) in zip(
                [writing.add(int(i)) for i in ids], self._byte_data(ids), strict=True
            )
        )

    def writing(self, before: Sequence[int]) -> Writing:
        """A text that goes on behind these ids."""
        return self._spelling.begin(before)

    def ids_of(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of many texts, each by itself and without BOS."""
        try:
            with self._lock:
                return self._hf(list(texts), add_special_tokens=False, verbose=False).input_ids
        except Exception:
            return [self._ids(text) for text in texts]  # which says what it cannot read

    @cached_property
    def splits_at_spaces(self) -> bool:
        """Whether a text can be cut before any single space between two words, and its parts
        tokenized each by itself: no token ever reaches over such a place, in either direction."""
        return splits_at_spaces(self._hf)

    @cached_property
    def _decoder(self) -> Decoder:
        return decoder_of(getattr(self._hf, "backend_tokenizer", None))

    @cached_property
    def _known(self) -> frozenset[int]:
        """The ids that have a token."""
        return frozenset({*map(int, self._hf.get_vocab().values()), *self._hf.added_tokens_decoder})

    @cached_property
    def _spelling(self) -> Spelling:
        decoder = self._decoder
        if decoder.byte_level:
            return ByteSpelling(self._byte_data)
        if decoder.byte_fallback:
            return ByteSpelling(self._byte_data, runs=True)
        vocabulary = self._hf.get_vocab()
        byte = vocabulary.get("<0xFF>") if not decoder.only_adds else None
        return DecoderSpelling(
            self._decoded,
            plain_word(sorted(self._known - {*self.special}), self._decoded),
            () if byte is None else (byte,),
            decoder.only_adds,
        )

    def _decoded(self, texts: list[list[int]]) -> list[str]:
        texts = [[int(i) for i in ids if self.has_token(i)] for ids in texts]
        with self._lock:
            return decoded(self._hf, texts)

    def _byte_data(self, ids: Sequence[int]) -> list[tuple[bytes, bool]]:
        """The bytes of each token by its name, and whether it is one byte of SentencePiece's."""
        pieces = zip(ids, self.pieces(ids), strict=True)
        return [
            bytes_of_piece(piece, self._decoder) if self.has_token(i) else (b"", False)
            for i, piece in pieces
        ]

    def _wants_bos(self, prepend_bos: bool | None) -> bool:
        wanted = self.adds_bos if prepend_bos is None else prepend_bos
        if wanted and self.bos_id is None:
            raise TokenError("This tokenizer has no BOS token to prepend; switch BOS off.")
        return wanted

    def _ids(self, text: str, special: bool = False) -> list[int]:
        return self._call(text, add_special_tokens=special).input_ids

    def _encoding(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        if not self._hf.is_fast:
            ids = self._ids(text)
            return ids, [(0, 0)] * len(ids)
        result = self._call(text, add_special_tokens=False, return_offsets_mapping=True)
        return result.input_ids, [(int(a), int(b)) for a, b in result.offset_mapping]

    def _call(self, text: str, **options: Any) -> Any:
        _check_letters(text)
        try:
            with self._lock:
                return self._hf(text, verbose=False, **options)
        except Exception as wrong:
            parts = unreadable_parts(text, self._reads)
            raise TokenError(unreadable(text, parts, _first_line(wrong))) from wrong

    def _reads(self, text: str) -> bool:
        with contextlib.suppress(Exception), self._lock:
            self._hf(text, add_special_tokens=False, verbose=False)
            return True
        return False

    def ids_if(self, text: str) -> list[int] | None:
        """The ids of a text, None where it cannot be read."""
        try:
            return self._ids(text)
        except TokenError:
            return None

    def begins_with_space(self, ids: Sequence[int]) -> bool:
        """Whether the first token's own name begins with a space."""
        return bool(ids) and self._byte_data(ids[:1])[0][0].startswith(b" ")


def _check_letters(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as wrong:
        raise TokenError(
            f"Character {wrong.start} is half of a surrogate pair (U+{ord(text[wrong.start]):X}"
            "), not a character; tokenizers cannot read it. Remove it."
        ) from None


def _text(data: bytes) -> str:
    return data.decode("utf-8", errors="replace")


def _first_line(wrong: Exception) -> str:
    return clip(next(iter(str(wrong).strip().splitlines()), type(wrong).__name__), 160)
