"""From a checkpoint on disk to a model that can be run: read, its places found, looked at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import EngineError, ModelError
from ..experiment.sites import Shape
from .attention import choose
from .checkpoints import Checkpoint
from .kernels import by_onednn, prepare
from .model import Model
from .place import Structure, inputs_of, outputs_of
from .places import find_places
from .reading import read_hf
from .rotary import Rotaries
from .through import hidden_of

_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")


def open_model(
    checkpoint: Checkpoint,
    device: torch.device,
    dtype: torch.dtype,
    going_on: Callable[[], None] = lambda: None,
) -> Model:
    """Read a checkpoint into memory and find its places. `going_on` is called between steps and
    raises where the load was called off.

    Raises: ModelError in words.
    """
    hf, tokenizer = read_hf(checkpoint, device, dtype, "eager", going_on)
    model = None
    try:
        structure = find_places(hf, type(hf).__name__)
        model = Model(checkpoint, hf, tokenizer, structure, _shape(hf, structure))
        going_on()
        model.worker.run(lambda: _look(model))
        prepare(hf)
        by_onednn(hf)
        going_on()
        return model
    except Exception as wrong:
        if model is not None:
            model.release()
        if isinstance(wrong, EngineError):
            raise
        raise ModelError(
            f"“{checkpoint.name}” ({checkpoint.architecture}) cannot be loaded: "
            f"{type(wrong).__name__}: {str(wrong).strip()[:300]}"
        ) from wrong


def _shape(hf: Any, structure: Structure) -> Shape:
    config = hf.config.get_text_config().to_dict()
    with_heads = [i for i, layer in enumerate(structure.layers) if layer.output is not None]
    if not with_heads:
        raise ModelError(
            f"{type(hf).__name__} has no attention heads that can be reached one by one, so there "
            "is nothing to switch off in it here."
        )
    z = structure.layers[with_heads[0]].places["z"].module
    posts = [layer.places["post"] for layer in structure.layers if "post" in layer.places]
    length = next((n for n in map(config.get, _LENGTHS) if isinstance(n, int)), None)
    whole = len(posts) == len(structure.layers)
    return Shape(
        n_layers=len(structure.layers),
        n_heads=structure.n_heads,
        n_key_value_heads=structure.n_key_value_heads,
        d_model=outputs_of(z) or hf.get_input_embeddings().weight.shape[1],
        d_head=(inputs_of(z) or 0) // structure.n_heads,
        d_mlp=inputs_of(posts[0].module) if whole else None,
        d_vocab=hf.get_output_embeddings().weight.shape[0],
        n_ctx=Rotaries(hf).longest(length),
        without_heads=tuple(i for i in range(len(structure.layers)) if i not in with_heads),
        without_mlp=tuple(i for i, y in enumerate(structure.layers) if "mlp_out" not in y.places),
    )


def _look(model: Model) -> None:
    """Run a few tokens: to choose how attention is worked out, and to see in what form blocks give
    their output and what they are given beside the stream, of one text and of two."""
    n = min(3, model.shape.n_ctx or 3)
    texts = torch.tensor(
        [[(a + b * i) % model.shape.d_vocab for i in range(n)] for a, b in ((1, 1), (2, 5))],
        device=model.device,
    )
    attending = [y.attention for y in model.structure.layers if y.output is not None]
    modules = [module for module in attending if module is not None]
    model.kernel = choose(model.hf, modules, lambda: model(texts[:1]).float())
    one, both = _given(model, texts[:1]), _given(model, texts)
    model.block_gives = one[0][1]
    by_row: set[tuple[int, str]] = set()
    tiled: set[tuple[int, str]] = set()
    for layer, ((single, _), (double, _)) in enumerate(zip(one, both, strict=True)):
        for name, value in single.items():
            for a, b in zip(_tensors(value), _tensors(double.get(name)), strict=False):
                if a.ndim and len(b) == 2 * len(a):
                    if not torch.equal(b[: len(a)], b[len(a) :]):
                        model.by_text = True
                    by_row.add((layer, name))
                    if len(a) > 1:
                        tiled.add((layer, name))
    model.by_row, model.tiled = frozenset(by_row), frozenset(tiled)


def _given(model: Model, ids: Tensor) -> list[tuple[dict[str, Any], int]]:
    """What each block is given beside the stream, by name or number; how many things it gives, 0
    for the stream alone in no tuple."""
    result: list[tuple[dict[str, Any], int]] = []
    others: list[dict[str, Any]] = []

    def before(_block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden_of(args, kwargs)
        named = {name: value for name, value in kwargs.items() if name != "hidden_states"}
        others.append({str(i): value for i, value in enumerate(args[1:])} | named)

    def after(_block: nn.Module, _args: tuple[Any, ...], out: Any) -> None:
        result.append((others.pop(), 0 if isinstance(out, Tensor) else len(out)))

    with ExitStack() as stack:
        for block in model.blocks:
            stack.callback(block.register_forward_pre_hook(before, with_kwargs=True).remove)
            stack.callback(block.register_forward_hook(after).remove)
        model(ids)
    if len(result) != len(model.blocks):
        raise ModelError(
            f"{model.checkpoint.architecture} runs its {len(model.blocks)} blocks {len(result)} "
            "times for one text, so a layer is no single place in it, and it is not shown."
        )
    return result


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _tensors(one)
