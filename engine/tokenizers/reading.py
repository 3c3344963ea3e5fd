"""What the tokenizer of a model makes of a text, by itself, in number and before an answer."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import EngineError, TokenError
from ..experiment.results import Tokens
from ..text.tokens import Tokenizer
from .results import Joined, TokenView, TokenViews
from .vocabularies import find_tokenizer


def tokenize(model: str, text: str, prepend_bos: bool | None = None) -> Tokens:
    """The tokens a model sees for a text: ids, raw pieces, texts, offsets and warnings.

    `prepend_bos` None does what the tokenizer does by itself. No weights are loaded.
    Raises: ModelError for a tokenizer that cannot be read, TokenError for text that is no Unicode.
    """
    return find_tokenizer(model).encode(text, prepend_bos)


def token_view(model: str, text: str, prepend_bos: bool | None = None) -> TokenView:
    """The tokens with the bytes of each, and whether they lead back to the text.

    Raises: as tokenize.
    """
    return _view(find_tokenizer(model), text, prepend_bos)


def token_views(model: str, texts: Sequence[str], prepend_bos: bool | None = None) -> TokenViews:
    """The views of many texts; one that cannot be read is told in its row and stops no other.

    Raises: ModelError for a tokenizer that cannot be read.
    """
    tokenizer = find_tokenizer(model)
    views: list[TokenView | None] = []
    errors = []
    for text in texts:
        try:
            views.append(_view(tokenizer, text, prepend_bos))
            errors.append("")
        except EngineError as wrong:
            views.append(None)
            errors.append(str(wrong))
    return TokenViews(tuple(texts), tuple(views), tuple(errors))


def would_change(model: str, prompt: str, answer: str, prepend_bos: bool | None = None) -> Joined:
    """Whether writing an answer right after a prompt would change the prompt's own tokens.

    Raises: as tokenize; TokenError without an answer.
    """
    if not answer:
        raise TokenError("There is no answer to write after the prompt; type one.")
    tokenizer = find_tokenizer(model)
    before, joined = (tokenizer.encode(t, prepend_bos) for t in (prompt, prompt + answer))
    kept = next(
        (i for i, (a, b) in enumerate(zip(before.ids, joined.ids, strict=False)) if a != b),
        min(len(before), len(joined)),
    )
    ids, _ = tokenizer.in_place(before, answer)
    return Joined(before, joined, kept, kept < len(before), ids, tokenizer.pieces(ids))


def _view(tokenizer: Tokenizer, text: str, prepend_bos: bool | None) -> TokenView:
    tokens = tokenizer.encode(text, prepend_bos)
    decoded = tokenizer.decode(tokens.ids[int(tokens.bos) :])
    again = tuple(tokenizer.ids_of([decoded])[0])
    return TokenView(tokens, tokenizer.bytes_of(tokens.ids), decoded, again)
