"""Prompts that differ by a trifle (a space, a line end, BOS), and what would come after each."""

from __future__ import annotations

from dataclasses import replace

from ..errors import Cancelled, EngineError
from ..experiment.experiment import Experiment
from ..experiment.results import Tokens
from ..ranking.ranking import next_token
from .results import Twin, Twins
from .vocabularies import find_tokenizer


def twins(e: Experiment, k: int = 3, view: str | None = None) -> Twins:
    """The prompt and its twins, each with the k best next tokens, clean and ablated.

    A twin that cannot be run (too long, or of another length than the method needs) says why in
    its place. `view` names whose question this is.
    Raises: ModelError, and TokenError for text that is no Unicode.
    """
    tokenizer = find_tokenizer(e.model)
    results = []
    for name, one in _twins_of(e, tokenizer.encode(e.prompt, e.prepend_bos).bos,
                               tokenizer.bos_id is not None):  # fmt: skip
        tokens, result, wrong = Tokens(one.prompt, (), (), (), (), False), None, ""
        try:
            tokens = tokenizer.encode(one.prompt, one.prepend_bos)
            result = next_token(one, k=k, view=view)
        except Cancelled:
            raise
        except EngineError as refused:
            wrong = str(refused)
        results.append(Twin(name, one.prompt, tokens.bos, tokens, result, wrong))
    return Twins(tuple(results))


def _twins_of(e: Experiment, bos: bool, has_bos: bool) -> list[tuple[str, Experiment]]:
    """Each twin's difference in words, and its experiment."""
    text = e.prompt
    changed = [
        ("without the space at its end", text.rstrip(" "))
        if text.endswith(" ")
        else ("with a space at its end", text + " "),
        ("without the space in front", text.lstrip(" "))
        if text.startswith(" ")
        else ("with a space in front", " " + text),
        ("without the line end", text.rstrip("\n"))
        if text.endswith("\n")
        else ("with a line end", text + "\n"),
    ]
    result = [("as it is", e), *((name, replace(e, prompt=t)) for name, t in changed)]
    if has_bos:
        result.append((f"with BOS {'off' if bos else 'on'}", replace(e, prepend_bos=not bos)))
    return result
