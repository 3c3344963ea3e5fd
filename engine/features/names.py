"""Neuronpedia's names for sparse autoencoders: what they say of a model and a place in it.

`gpt2-small/6-res-jb` is the model, the layer, and the release; `gpt2-small@6-res-jb` the same in
one word, and a third part, as in `gpt2-small/6-res-jb/123`, one feature.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import EngineError

_NAME = re.compile(r"([\w.-]+)[/@](\d{1,5})-([\w.-]+?)(?:/(\d{1,7}))?")


@dataclass(frozen=True)
class NeuronpediaName:
    """What a name of Neuronpedia's says: `model`, `layer` and `release`; `site`, as sites are
    written, where the release's name tells it; and the `feature`, where it names one."""

    model: str
    layer: int
    release: str
    site: str
    feature: int | None

    @property
    def told(self) -> str:
        """A sentence: what it is, and how it is come by here."""
        where = self.site or f"layer {self.layer} (its folder says where in it)"
        return (
            f"“{self.model}/{self.layer}-{self.release}” is Neuronpedia's name for an SAE of "
            f"{where} of {self.model}. Its features have pages there; its numbers are in a folder "
            "of its makers' on the hub: fetch that, and read the folder."
        )


def neuronpedia_name(text: str) -> NeuronpediaName:
    """Read a name such as “gpt2-small/6-res-jb” or “gpt2-small@6-res-jb”.

    Raises: EngineError for what is none.
    """
    match = _NAME.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None:
        raise EngineError(
            f"“{text!s:.60}” is no name of Neuronpedia's: a model, a layer and a release, as in "
            "“gpt2-small/6-res-jb”."
        )
    model, layer, release, feature = match[1], int(match[2]), match[3], match[4]
    return NeuronpediaName(
        model, layer, release, _site(layer, release), None if feature is None else int(feature)
    )


def _site(layer: int, release: str) -> str:
    """The site, of releases that are always of one; empty of others."""
    if re.match(r"res-jb\b|res-sm\b", release):
        return f"r{layer}"
    if re.match(r"res_mid", release):
        return f"r{layer}.mid"
    if re.match(r"(gemmascope|llamascope)-res|res_post", release):
        return f"r{layer + 1}"
    if re.search(r"(^|-)(mlp|transcoder)", release):
        return f"m{layer}"
    return ""
