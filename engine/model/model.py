"""One model: Hugging Face's own, run by its own code, its activations by TransformerLens name.

A `Model` offers the rest of the engine: its shape and tokenizer, its places, one way to run it on
ids (whole, or going on behind a cache), and the worker that alone may run it.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from transformers.utils import logging as transformers_logging

from ..errors import EngineError
from ..experiment.results import ModelInfo
from ..experiment.sites import Shape
from ..text.tokens import Tokenizer
from .attention import carry_over, softmax_seen
from .checkpoints import Checkpoint
from .place import SOFTMAX, Layer, Place, Structure
from .rotary import Rotaries
from .store import Store
from .through import Act, hook, hook_in_place
from .worker import CORES, Worker

STORE_BYTES = 256 * 2**20
"""Clean residuals, and reference means, kept for each loaded model."""

HANDS = min(CORES, 8)
"""Threads that share the rows of a step; with more cores each of these has several."""

transformers_logging.disable_progress_bar()
transformers_logging.set_verbosity_error()


class Model:
    """A loaded model. Everything that runs it does so on `worker`'s thread.

    `refused`: places that were found not to hold, by name and layer, with the reason. `by_text`:
    whether blocks take more from a text than the residual stream, so that rows of different texts
    cannot share a pass. `late_joining`: whether rows may begin at the first layer they change.
    `by_row`: what blocks are given beside the stream that is made row by row, by layer and name;
    `tiled`: what of it does not broadcast. `block_gives`: how many things a block gives, the stream
    first; 0 where it gives that alone, in no tuple. `refusals`: ways of running it that do not
    hold, by name, with the reason. `kernel`: how attention is worked out, in words. `certificate`:
    what the trial at the end of loading found.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        hf: Any,
        tokenizer: Tokenizer,
        structure: Structure,
        shape: Shape,
    ) -> None:
        self.name = checkpoint.name
        self.checkpoint = checkpoint
        self.tokenizer = tokenizer
        self.hf = hf
        self.structure = structure
        self.shape = shape
        self.blocks: list[nn.Module] = [layer.block for layer in structure.layers]
        self.unembed: nn.Module = hf.get_output_embeddings()
        first = next(hf.parameters())
        self.device, self.dtype = first.device, first.dtype
        self.nbytes = sum(p.nbytes for p in hf.parameters())
        self.ends: frozenset[int] = _ends(hf)
        self.kernel = ""
        self.certificate: Any = None
        self.by_text = False
        self.late_joining = True
        self.refusals: dict[str, str] = {}
        self.by_row: frozenset[tuple[int, str]] = frozenset()
        self.tiled: frozenset[tuple[int, str]] = frozenset()
        self.block_gives = 0
        self.refused: dict[tuple[str, int], str] = {}
        self.rotaries = Rotaries(hf)
        self._cached = _name_of_cache(hf)
        self._structures: list[Structure] = []
        self._copies = True
        self.worker = Worker(checkpoint.name)
        self.store: Store = Store(STORE_BYTES)
        self.means: Store = Store(STORE_BYTES)
        self.lenses: Store = Store(STORE_BYTES // 4)

    def __call__(self, ids: Tensor) -> Tensor:
        """Run ids [batch pos] through the model. Returns: logits as its own forward gives them."""
        self.rotaries.begin()
        logits: Tensor = self.hf(input_ids=ids, use_cache=False).logits
        return logits

    def go_on(self, ids: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """Read ids [batch pos] behind what a cache holds (None: from the beginning).

        Returns: logits as its own forward gives them, and the cache with these ids in it.
        """
        if cache is None:
            self.rotaries.begin()
        out = self.hf(input_ids=ids, use_cache=True, **{self._cached: cache})
        if out.get(self._cached) is None:
            raise EngineError("it keeps nothing of what it has read to go on from")
        return out.logits, out[self._cached]

    def hands(self) -> list[Model]:
        """This model, and the same one through other blocks over the same weights, for threads
        that run them at once on rows of their own: hooks belong to a module. Where no copy can be
        made of its blocks, and on a graphics card, this one alone."""
        most = HANDS if self.device.type == "cpu" else 1
        while self._copies and len(self._structures) < most - 1:
            try:
                self._structures.append(self._copied_structure())
            except Exception:  # whatever a module holds that cannot be copied
                self._copies = False
        result = [self]
        for structure in self._structures[: most - 1]:
            hand = copy.copy(self)
            hand.structure, hand.blocks = structure, [layer.block for layer in structure.layers]
            result.append(hand)
        return result

    def _copied_structure(self) -> Structure:
        modules = [m for block in self.blocks for m in block.modules()]
        held = [v for m in modules for v in (*m._parameters.values(), *m._buffers.values())]
        held += [v for m in modules for v in vars(m).values() if isinstance(v, Tensor)]
        memo = {id(tensor): tensor for tensor in held if tensor is not None}
        structure = replace(self.structure, layers=copy.deepcopy(self.structure.layers, memo))
        for old, new in zip(self.structure.layers, structure.layers, strict=True):
            for one, other in zip(old.block.modules(), new.block.modules(), strict=True):
                carry_over(one, other)
        return structure

    def layer(self, layer: int) -> Layer:
        """A block and its parts."""
        return self.structure.layers[layer]

    def place(self, name: str, layer: int) -> Place:
        """The module at which an activation passes. Raises: EngineError where there is none."""
        result = self.structure.layers[layer].places.get(name)
        if result is None or (name, layer) in self.refused:
            raise EngineError(self.why_not(name, layer))
        return result

    def reaches(self, name: str, layer: int) -> bool:
        """Whether there is an activation of that name in that layer to see and to change."""
        if name == "ln_final":
            return layer == self.shape.n_layers and self.structure.ln_final is not None
        if not 0 <= layer < self.shape.n_layers or (name, layer) in self.refused:
            return False
        result = self.structure.layers[layer]
        return name in result.places or (name in SOFTMAX and "z" in result.places)

    def why_not(self, name: str, layer: int) -> str:
        """A sentence for an activation that cannot be had."""
        why = self.refused.get((name, layer))
        where = f"{self.checkpoint.architecture} has no {name} in layer {layer}"
        return f"{where} that can be seen and changed here{f': {why}' if why else ''}."

    def check_way(self, way: str, what: str) -> None:
        """Refuse what a model was seen not to do. Raises: EngineError for the way named: "cached",
        "block by block"."""
        why = self.refusals.get(way)
        if why is not None:
            raise EngineError(
                f"{self.checkpoint.architecture} was tried when it was loaded, and {why}; so its "
                f"{what} is not shown rather than shown wrongly."
            )

    @contextlib.contextmanager
    def hooked(self, name: str, layer: int, n_tokens: int, act: Act) -> Iterator[None]:
        """Hand an activation to `act` as it passes, by its TransformerLens name: `("z", 9)`.

        What `act` returns takes its place, unless that is None. Axes as in TransformerLens, of a
        text of which `n_tokens` are read. Raises: EngineError where there is no such activation.
        """
        if not self.reaches(name, layer):
            raise EngineError(self.why_not(name, layer))
        with contextlib.ExitStack() as stack:
            if name in SOFTMAX:
                attention = self.structure.layers[layer].attention
                assert attention is not None
                given = {"scores": act} if name == "attn_scores" else {"pattern": act}
                stack.enter_context(softmax_seen(attention, self.shape.n_heads, **given))
            elif name == "ln_final":
                norm = self.structure.ln_final
                assert norm is not None
                stack.callback(hook(Place(norm, False), n_tokens, act).remove)
            elif name == "resid_mid":
                place = self.place(name, layer)
                stack.callback(hook_in_place(place, n_tokens, act).remove)
            else:
                stack.callback(hook(self.place(name, layer), n_tokens, act).remove)
            yield

    @property
    def info(self) -> ModelInfo:
        """What a picker shows of it."""
        return ModelInfo(
            name=self.name,
            about=self.checkpoint.about,
            architecture=self.checkpoint.architecture,
            bytes_needed=self.nbytes,
            shape=self.shape,
            loaded=True,
            device=str(self.device),
            dtype=str(self.dtype).removeprefix("torch."),
            bos=self.tokenizer.adds_bos,
        )

    def release(self) -> bool:
        """End its worker and let go of its memory. Returns: whether all of it is free at once, no
        garbage to be searched for."""
        self.worker.close()
        modules = [self.hf, *(one.layers[0].block for one in self._structures)]
        left = [weakref.ref(module) for module in modules]
        for kept in (self.store, self.means, self.lenses):
            kept.clear()
        self.blocks.clear()
        self._structures.clear()
        del self.hf, self.structure, self.unembed, self.rotaries, modules
        return all(module() is None for module in left)


def _name_of_cache(hf: Any) -> str:
    """What the model's own forward calls its cache; transformers renamed it in the fifth series."""
    return "cache" if "cache" in inspect.signature(hf.forward).parameters else "past_key_values"


def _ends(hf: Any) -> frozenset[int]:
    for config in (getattr(hf, "generation_config", None), hf.config):
        ids = getattr(config, "eos_token_id", None)
        if ids is not None:
            return frozenset(ids if isinstance(ids, list | tuple) else [ids])
    return frozenset()
