"""Models: loaded, placed, measured, released. The only module that knows TransformerBridge.

A `Model` offers the rest of the engine four things: its shape and tokenizer, its hook points by
TransformerLens name, one way to run it on ids, and the worker that alone may do so.
"""

from __future__ import annotations

import contextlib
import copy
import gc
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psutil
import torch
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from .checkpoints import Checkpoint, bundled_names, find_checkpoint
from .errors import EngineError, ModelError
from .results import ModelInfo
from .sites import Shape
from .store import Store
from .tokens import Tokenizer
from .worker import Worker

STORE_BYTES = 256 * 2**20
"""Clean residuals, and reference means, kept for each loaded model."""

_POINTS = {
    "resid_pre": "hook_resid_pre",
    "resid_mid": "hook_resid_mid",
    "resid_post": "hook_resid_post",
    "attn_out": "hook_attn_out",
    "mlp_out": "hook_mlp_out",
    "post": "mlp.hook_post",
    "q": "attn.hook_q",
    "k": "attn.hook_k",
    "v": "attn.hook_v",
    "z": "attn.hook_z",
    "attn_scores": "attn.hook_attn_scores",
    "pattern": "attn.hook_pattern",
}
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_STORED = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}

transformers_logging.disable_progress_bar()
transformers_logging.set_verbosity_error()
logging.getLogger("transformer_lens").setLevel(logging.ERROR)


class Model:
    """A loaded model. Everything that runs it does so on `worker`'s thread."""

    def __init__(
        self, checkpoint: Checkpoint, bridge: TransformerBridge, tokenizer: Tokenizer
    ) -> None:
        self.name = checkpoint.name
        self.checkpoint = checkpoint
        self.tokenizer = tokenizer
        self._bridge = bridge
        self.blocks: list[nn.Module] = list(bridge.blocks)
        self.unembed: nn.Module = bridge.unembed
        first = next(bridge.original_model.parameters())
        self.device, self.dtype = first.device, first.dtype
        self.shape = _shape(bridge)
        self.block_gives_tuple = False
        self.worker = Worker(checkpoint.name)
        self.store: Store = Store(STORE_BYTES)
        self.means: Store = Store(STORE_BYTES)

    @contextlib.contextmanager
    def hooked(self, name: str, layer: int, act: Callable[[Tensor], Tensor | None]) -> Iterator:
        """Hand an activation to `act` as it passes, by its TransformerLens name: `("z", 9)`.

        What `act` returns takes its place, unless that is None. Axes as in TransformerLens.
        Raises: EngineError where the architecture has no such activation.
        """
        key = "ln_final.hook_out" if name == "ln_final" else f"blocks.{layer}.{_POINTS[name]}"
        points = self._bridge.hook_dict
        found = points.get(key)
        if name == "post" and found is points.get(f"blocks.{layer}.mlp.hook_out"):
            found = None  # the bridge gives a mixture of experts' output this name too
        if found is None:
            raise EngineError(
                f"{self.checkpoint.architecture} has no reachable {name} in layer {layer}."
            )
        handle = found.add_hook(lambda activation, hook: act(activation))
        try:
            yield
        finally:
            handle.hook.remove()
            found.fwd_hooks.remove(handle)

    def __call__(self, ids: Tensor) -> Tensor:
        """Run ids [batch pos] through the model. Returns: logits as its own forward gives them."""
        return self._bridge.original_model(input_ids=ids, use_cache=False).logits

    @property
    def info(self) -> ModelInfo:
        """What a picker shows of it."""
        return _info(self.checkpoint, self)

    @property
    def nbytes(self) -> int:
        """Bytes its parameters take."""
        return sum(p.nbytes for p in self._bridge.original_model.parameters())

    def release(self) -> None:
        """End its worker and let go of its memory."""
        self.worker.close()
        self.store.clear()
        self.means.clear()
        self.blocks.clear()
        del self._bridge, self.unembed


def models() -> tuple[ModelInfo, ...]:
    """What can be picked without a network: the bundled models, and those loaded now."""
    loaded = _registry.loaded()
    names = [*bundled_names(), *(n for n in loaded if n not in bundled_names())]
    return tuple(loaded[n].info if n in loaded else _info(find_checkpoint(n), None) for n in names)


def load(name: str, device: str | None = None, dtype: str | None = None) -> Model:
    """The model of that name, loaded once and kept.

    `device`: "cuda", "mps" or "cpu"; by itself the first of these there is. `dtype`: "float32",
    "float16" or "bfloat16"; by itself float32 on a CPU, the checkpoint's own elsewhere. The
    environment's SWITCHBOARD_DEVICE and SWITCHBOARD_DTYPE set both.
    Raises: ModelError in words, with what would help.
    """
    return _registry.load(name, device, dtype)


def release(name: str) -> None:
    """Let go of a loaded model and its memory; nothing happens if it is not loaded."""
    _registry.release(name)


class _Registry:
    """The loaded models: each loaded once, the least recently used released for room."""

    def __init__(self) -> None:
        self._models: OrderedDict[str, Model] = OrderedDict()
        self._lock = threading.RLock()

    def loaded(self) -> dict[str, Model]:
        with self._lock:
            return dict(self._models)

    def load(self, name: str, device: str | None, dtype: str | None) -> Model:
        with self._lock:
            model = self._models.get(name)
            if model is not None and _suits(model, device, dtype):
                self._models.move_to_end(name)
                return model
            checkpoint = find_checkpoint(name)
            where = _device(device)
            kind = _dtype(dtype, checkpoint, where)
            self.release(name)
            self._make_room(checkpoint, where, kind)
            model = _load(checkpoint, where, kind)
            self._models[name] = model
            return model

    def release(self, name: str) -> None:
        with self._lock:
            model = self._models.pop(name, None)
        if model is not None:
            model.release()
            del model
            gc.unfreeze()
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()

    def _make_room(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        needed = checkpoint.n_parameters * dtype.itemsize
        while _free_bytes(device) < needed * 1.2 and self._models:
            self.release(next(iter(self._models)))
        free = _free_bytes(device)
        if free < needed * 1.2:
            raise ModelError(
                f"“{checkpoint.name}” needs {needed / 2**30:.1f} GiB for its weights in "
                f"{str(dtype).removeprefix('torch.')}; {free / 2**30:.1f} GiB are free on {device}."
                + (" Loading it in bfloat16 halves that." if dtype == torch.float32 else "")
            )


def _suits(model: Model, device: str | None, dtype: str | None) -> bool:
    """Whether a loaded model is where and what is asked for, if anything is."""
    return (device is None or _device(device) == model.device) and (
        dtype is None or _DTYPES.get(dtype) == model.dtype
    )


_registry = _Registry()


def _load(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> Model:
    tokenizer = Tokenizer.load(checkpoint.directory)
    where = str(checkpoint.directory)
    try:
        config = AutoConfig.from_pretrained(where, trust_remote_code=False, local_files_only=True)
        hf = AutoModelForCausalLM.from_pretrained(
            where,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
        )
        hf = nn.Module.to(hf, device).eval().requires_grad_(False)
        with contextlib.redirect_stdout(None):
            bridge = TransformerBridge.boot_transformers(
                where,
                hf_model=hf,
                dtype=dtype,
                device=device,
                # The bridge adds tokens to the tokenizer it is given, so it gets its own.
                tokenizer=copy.deepcopy(tokenizer.hf),
            )
    except EngineError:
        raise
    except Exception as wrong:
        raise ModelError(
            f"“{checkpoint.name}” ({checkpoint.architecture}) cannot be loaded: "
            f"{type(wrong).__name__}: {str(wrong).strip()[:300]}"
        ) from wrong
    model = Model(checkpoint, bridge, tokenizer)
    model.worker.run(lambda: _look(model))
    gc.collect()
    gc.freeze()  # what a loaded model keeps alive need not be searched for garbage again
    return model


def _look(model: Model) -> None:
    """Run one token, to see how wide the MLPs are and in what form the blocks give their output.

    A config's own word for the width is not always true (Falcon's is not).
    """
    tuples: list[bool] = []
    widths: list[int] = []
    with contextlib.ExitStack() as stack:
        handle = model.blocks[0].register_forward_hook(
            lambda _m, _a, output: tuples.append(type(output) is tuple)
        )
        stack.callback(handle.remove)
        with contextlib.suppress(EngineError):  # no such point: neurons cannot be reached
            stack.enter_context(model.hooked("post", 0, lambda x: widths.append(x.shape[-1])))
        model(torch.zeros(1, 1, dtype=torch.long, device=model.device))
    model.block_gives_tuple = tuples[0]
    model.shape = replace(model.shape, d_mlp=widths[0] if widths else None)


def _shape(bridge: Any) -> Shape:
    cfg = bridge.cfg
    return Shape(
        n_layers=len(bridge.blocks),
        n_heads=cfg.n_heads,
        n_key_value_heads=getattr(cfg, "n_key_value_heads", None) or cfg.n_heads,
        d_model=cfg.d_model,
        d_head=cfg.d_head,
        d_mlp=None,
        d_vocab=bridge.original_model.get_output_embeddings().weight.shape[0],
        n_ctx=getattr(bridge.original_model.config, "max_position_embeddings", None),
    )


def _info(checkpoint: Checkpoint, model: Model | None) -> ModelInfo:
    dtype = model.dtype if model else _dtype(None, checkpoint, _device(None))
    return ModelInfo(
        name=checkpoint.name,
        about=checkpoint.about,
        architecture=checkpoint.architecture,
        bytes_needed=model.nbytes if model else checkpoint.n_parameters * dtype.itemsize,
        shape=model.shape if model else None,
        loaded=model is not None,
        device=str(model.device) if model else None,
        dtype=str(dtype).removeprefix("torch.") if model else None,
        bos=model.tokenizer.adds_bos if model else None,
    )


def _device(asked: str | None) -> torch.device:
    asked = asked or os.environ.get("SWITCHBOARD_DEVICE")
    if asked is None:
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(asked)
        torch.empty(0, device=device)
        return torch.empty(0, device=device).device
    except Exception as wrong:
        raise ModelError(
            f"There is no device “{asked}” on this machine; leave it out to have one chosen."
        ) from wrong


def _dtype(asked: str | None, checkpoint: Checkpoint, device: torch.device) -> torch.dtype:
    asked = asked or os.environ.get("SWITCHBOARD_DTYPE")
    if asked is not None:
        if asked not in _DTYPES:
            raise ModelError(f"“{asked}” is no dtype for a model; there are {', '.join(_DTYPES)}.")
        return _DTYPES[asked]
    if device.type == "cpu":
        return torch.float32
    return _STORED.get(checkpoint.stored_dtype, torch.float32)


def _free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available
