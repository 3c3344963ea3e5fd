"""What a path leads to: a head's query, key or value input, an MLP's input, or the logits.

| written | means |
|---|---|
| `9.6.q`, `9.6.k`, `9.6.v` | what the queries, keys or values of head 6 of layer 9 are made from |
| `9.6` | all three of them |
| `m9` | what the MLP of layer 9 reads |
| `logits` | what the final norm and the unembedding read |
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import SiteError
from ..experiment.sites import MLP, Head, Shape, Site, parse_sites, resolve_sites

PARTS = ("q", "k", "v")
_PART = re.compile(r"(.+)\.([qkv])")


@dataclass(frozen=True)
class Receiver:
    """One input. `part`: "q", "k" or "v" of a head, "mlp", or "logits" (layer and head None)."""

    part: str
    layer: int | None = None
    head: int | None = None

    def __str__(self) -> str:
        match self.part:
            case "logits":
                return "logits"
            case "mlp":
                return f"m{self.layer}"
        return f"{self.layer}.{self.head}.{self.part}"

    def reads(self, sender: Site, sequential: bool) -> bool:
        """Whether a sender's output reaches this input in one step.

        `sequential`: whether an MLP reads what the heads of its own layer write.
        """
        if self.layer is None or sender.layer < self.layer:
            return True
        own_heads = self.part == "mlp" and sequential and isinstance(sender, Head)
        return own_heads and sender.layer == self.layer


LOGITS = Receiver("logits")


def inputs_of(site: Site) -> tuple[Receiver, ...]:
    """The inputs of a head (its three) or an MLP."""
    match site:
        case Head(layer, head):
            return tuple(Receiver(part, layer, head) for part in PARTS)
        case MLP(layer):
            return (Receiver("mlp", layer),)
    raise SiteError(f"{site} is no receiver: heads (9.1, 9.1.q) and MLPs (m9) are, and logits.")


def parse_receivers(text: str | Iterable[Receiver], shape: Shape) -> tuple[Receiver, ...]:
    """Read receivers such as `"9.6.q 9.9.q m10 logits"`, ranges and whole layers as of sites.

    Returns: each once, in the order written.
    Raises: SiteError for a word that is none, or a site the model does not have.
    """
    if not isinstance(text, str):
        result = dict.fromkeys(text)
        resolve_sites([site_of(one) for one in result if one.part != "logits"], shape)
        return _some(tuple(result))
    named: dict[Receiver, None] = {}
    for word in re.split(r"[\s,;]+", text.strip().lower()):
        if word == "logits":
            named[LOGITS] = None
            continue
        match = _PART.fullmatch(word)
        sites = resolve_sites(parse_sites(match[1] if match else word), shape)
        for site in sites:
            if match and not isinstance(site, Head):
                raise SiteError(f"“{word[:40]}” is no input: only heads have q, k and v.")
            for one in inputs_of(site):
                if not match or one.part == match[2]:
                    named[one] = None
    return _some(tuple(named))


def print_receivers(receivers: Iterable[Receiver]) -> str:
    """Write receivers so that `parse_receivers` reads the same ones back: a head's three inputs,
    where they stand together, by its name alone."""
    left, words = list(receivers), []
    while left:
        whole = inputs_of(site_of(left[0])) if left[0].part == PARTS[0] else ()
        if whole and tuple(left[: len(whole)]) == whole:
            words.append(str(site_of(left[0])))
            del left[: len(whole)]
        else:
            words.append(str(left.pop(0)))
    return " ".join(words)


def site_of(receiver: Receiver) -> Head | MLP:
    """The head or MLP whose input it is. Raises: SiteError for the logits."""
    if receiver.layer is None:
        raise SiteError("The logits are no site.")
    if receiver.head is None:
        return MLP(receiver.layer)
    return Head(receiver.layer, receiver.head)


def _some(result: tuple[Receiver, ...]) -> tuple[Receiver, ...]:
    if not result:
        raise SiteError("No receivers are named; write some, as in 9.6.q m10 logits.")
    return result
