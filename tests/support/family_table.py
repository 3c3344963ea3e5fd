"""Writes docs/families.md: what every family's tiny model was certified to do.

python -m tests.support.family_table
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import engine
from tests.support.families import LEFT_OUT, MEMBERS, save_member

PAGE = Path(__file__).resolve().parents[2] / "docs" / "families.md"
PLACES = (
    "resid_pre", "resid_mid", "attn_out", "mlp_out", "post", "q", "k", "v", "z", "pattern",
    "resid_post",
)  # fmt: skip
CHECKS = (
    "clean runs", "reads left to right", "alone and together", "parts of heads", "between",
    "adds up", "along directions", "into MLPs", "cached", "block by block",
)  # fmt: skip
"""Of a certificate's, those with a figure; how rows share passes has a column of its own."""
_HEAD = """# Families, as certified

Loading a model ends with a trial of it; `engine.certificate(name)` is what it found. Here is what
it finds of a tiny random model of every family that transformers and TransformerLens share and
that can be made tiny, and of settings within families that change how attention or the stream is
worked out. Written by `python -m tests.support.family_table`; what compares the same models with
plain hooks that know nothing of this project is `tests/passes/test_family_matrix.py`.

In each place's cell stand two figures: how far what a shared pass *reads* there is from what a
plain hook reads, and how far the logits after an *edit* there are from those after the same edit
by a plain hook, each as a share of its size, the worst of first, middle and last layer. “–”: the
family has no such place (blocks side by side have no stream between attention and MLP; experts
have no single neurons; latent attention has no q, k, v by head).

- attention: “fused” is transformers' fused kernel, seen to equal the family's own eager code;
  “eager” that code by transformers' attention interface; “past it” as it stands in the modules.
- rows: they “join late”, at the first layer they change, or are “read whole” where blocks hand on
  more than the stream; and the worst difference.
- clean runs: a shared pass against transformers' own. reads left to right: what is said before a
  token against the same with another token there. alone and together: rows of one pass against each
  alone. A family in which one of these fails is refused whole.
- parts of heads: a head's query moves its own pattern, a key those of the heads that share it, a
  value none; where that fails q, k and v are refused. between: the stream between attention and MLP
  changed there against what attention adds to it.
- adds up: whether what heads and MLPs write is what is added to the stream; where it is not, the
  lens of parts and paths are refused, and nothing else.
- along directions: a direction added, and taken out, against plain hooks. into MLPs: what an MLP is
  given, read in time to move what it writes in the same pass, as transcoders need it.
- cached: tokens read one by one behind a cache. block by block: blocks called one at a time, which
  sweeps and searches do.

"""


def rows() -> Iterator[list[str]]:
    """A line of the table for each member of the matrix."""
    for name in MEMBERS:
        with tempfile.TemporaryDirectory() as folder:
            yield [name, *_cells(str(save_member(name, Path(folder))))]


def _cells(directory: str) -> list[str]:
    try:
        found = engine.certificate(directory)
    except engine.EngineError as wrong:
        return ["refused: " + str(wrong).replace(directory, "…").replace("|", "/")]
    finally:
        engine.release(directory)
    places = {p.name: p for p in found.places}
    checks = {c.name: c for c in found.checks}
    kernel = {"eager, past the interface": "past it"}.get(found.kernel, found.kernel)
    return [
        kernel,
        next((_rows(c) for c in found.checks if c.name.startswith("rows ")), "–"),
        *(_place(places.get(name)) for name in PLACES),
        *(_check(checks.get(name)) for name in CHECKS),
    ]


def _place(place: engine.PlaceCheck | None) -> str:
    if place is None:
        return "–"
    return f"{place.reads:.0e} {place.edits:.0e}" if place.holds else f"refused: {place.why}"


def _rows(check: engine.Check) -> str:
    how = "read whole" if "whole" in check.name else "join late"
    return f"{how} {check.figure:.0e}"


def _check(check: engine.Check | None) -> str:
    if check is None:
        return "–"
    return f"{check.figure:.0e}" if check.holds else f"refused: {check.why}"


def table(lines: Iterable[list[str]]) -> str:
    """The page. A family that is refused whole is told below."""
    head = ["family", "attention", "rows", *PLACES, *CHECKS]
    told = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    refused = []
    for line in lines:
        if len(line) == 2:
            refused.append(f"| {line[0]} | {line[1].removeprefix('refused: ')} |")
        else:
            told.append("| " + " | ".join(line) + " |")
    left = [f"| {name} | {why} |" for name, why in LEFT_OUT.items()]
    return _HEAD + "\n".join(
        [*told, "", "## Refused whole", "", "| family | the sentence |", "|---|---|", *refused,
         "", "## Not in the table", "", "| family | why |", "|---|---|", *left, ""]
    )  # fmt: skip


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(table(rows()), encoding="utf-8")
