"""One model, read and hooked. The only module that knows TransformerBridge.

A `Model` offers the rest of the engine: its shape and tokenizer, its hook points by
TransformerLens name, one way to run it on ids, the same weights without the bridge (`plain`), and
the worker that alone may run either.
"""

from __future__ import annotations

import contextlib
import copy
import io
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from ..errors import EngineError, ModelError
from ..experiment.results import ModelInfo
from ..experiment.sites import Shape
from ..text.tokens import Tokenizer
from .checkpoints import Checkpoint
from .kernels import by_onednn, prepare
from .plain import Plain
from .store import Store
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
_LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "n_ctx")

transformers_logging.disable_progress_bar()
transformers_logging.set_verbosity_error()
logging.getLogger("transformer_lens").setLevel(logging.ERROR)


class Model:
    """A loaded model. Everything that runs it does so on `worker`'s thread."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        bridge: TransformerBridge,
        tokenizer: Tokenizer,
        plain: Plain,
    ) -> None:
        self.name = checkpoint.name
        self.checkpoint = checkpoint
        self.tokenizer = tokenizer
        self._bridge = bridge
        self.plain = plain
        self.blocks: list[nn.Module] = list(bridge.blocks)
        self.unembed: nn.Module = bridge.unembed
        first = next(bridge.original_model.parameters())
        self.device, self.dtype = first.device, first.dtype
        self.nbytes = sum(p.nbytes for p in bridge.original_model.parameters())
        self.shape = _shape(bridge)
        self.block_gives_tuple = False
        self._passing: dict[tuple[str, int], tuple[nn.Module, bool]] = {}
        self.worker = Worker(checkpoint.name)
        self.store: Store = Store(STORE_BYTES)
        self.means: Store = Store(STORE_BYTES)
        self.lenses: Store = Store(STORE_BYTES // 4)

    @contextlib.contextmanager
    def hooked(self, name: str, layer: int, act: Callable[[Tensor], Tensor | None]) -> Iterator:
        """Hand an activation to `act` as it passes, by its TransformerLens name: `("z", 9)`.

        What `act` returns takes its place, unless that is None. Axes as in TransformerLens.
        Raises: EngineError where the architecture has no such activation.
        """
        found = self._point(name, layer)
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

    def passing(self, name: str, layer: int) -> tuple[nn.Module, bool]:
        """The module of `plain` through which an activation passes, and whether it goes in there
        (else it comes out). Raises: EngineError where the architecture has no such place."""
        if (name, layer) not in self._passing:
            self._passing[(name, layer)] = self._find_passing(name, layer)
        return self._passing[(name, layer)]

    def _find_passing(self, name: str, layer: int) -> tuple[nn.Module, bool]:
        point = self._point(name, layer)
        for component in self._bridge.modules() if point is not None else ():
            for side in ("hook_in", "hook_out"):
                if component._modules.get(side) is point:
                    found = self.plain.twin_of(getattr(component, "original_component", None))
                    if found is not None:
                        return found, side == "hook_in"
        raise EngineError(
            f"{self.checkpoint.architecture} has no {name} in layer {layer} that can be changed "
            "while it generates."
        )

    def plain_part(self, layer: int, name: str = "") -> nn.Module | None:
        """A block of `plain`, or its part of that name in TransformerLens ("mlp"); None where the
        architecture has no such module of its own."""
        block = self.blocks[layer]
        part = getattr(block, name, None) if name else block
        found = self.plain.twin_of(getattr(part, "original_component", None))
        if name and found is self.plain.twin_of(getattr(block, "original_component", None)):
            return None
        return found

    def reaches(self, name: str, layer: int) -> bool:
        """Whether there is an activation of that name in that layer to hook."""
        return self._point(name, layer) is not None

    def _point(self, name: str, layer: int) -> Any:
        points = self._bridge.hook_dict
        if name == "ln_final":
            return points.get("ln_final.hook_out") if layer == self.shape.n_layers else None
        found = points.get(f"blocks.{layer}.{_POINTS[name]}") if name in _POINTS else None
        if name == "post" and found is points.get(f"blocks.{layer}.mlp.hook_out"):
            return None  # the bridge gives a mixture of experts' output this name too
        return found

    def __call__(self, ids: Tensor) -> Tensor:
        """Run ids [batch pos] through the model. Returns: logits as its own forward gives them."""
        return self._bridge.original_model(input_ids=ids, use_cache=False).logits

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

    def release(self) -> None:
        """End its worker and let go of its memory."""
        self.worker.close()
        self.store.clear()
        self.means.clear()
        self.blocks.clear()
        self._passing.clear()
        del self._bridge, self.plain, self.unembed


def read(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> Model:
    """Read a checkpoint into memory, and see that its parts are where the engine looks for them.

    Raises: ModelError in words.
    """
    tokenizer = Tokenizer.load(checkpoint.directory)
    where = str(checkpoint.directory)
    model = None
    try:
        config = AutoConfig.from_pretrained(where, trust_remote_code=False, local_files_only=True)
        read_with_report: Any = AutoModelForCausalLM.from_pretrained(
            where,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
        hf, report = read_with_report
        _check_weights(checkpoint, report)
        hf = nn.Module.to(hf, device).eval().requires_grad_(False)
        prepare(hf)
        plain = Plain(hf)  # before the bridge puts its own parts in the modules' places
        with contextlib.redirect_stdout(io.StringIO()):
            bridge = TransformerBridge.boot_transformers(
                where,
                hf_model=hf,
                dtype=dtype,
                device=device,
                # The bridge adds tokens to the tokenizer it is given, so it gets its own.
                tokenizer=copy.deepcopy(tokenizer.hf),
            )
        by_onednn(bridge.original_model)
        model = Model(checkpoint, bridge, tokenizer, plain)
        model.worker.run(lambda: _look(model))
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


def _check_weights(checkpoint: Checkpoint, found: dict[str, Any]) -> None:
    """Refuse a checkpoint with weights missing: they would be made up at random."""
    for what in ("missing_keys", "mismatched_keys", "error_msgs"):
        wrong = found.get(what)
        if wrong:
            names = ", ".join(sorted(str(w) for w in wrong)[:3])
            raise ModelError(
                f"“{checkpoint.name}” does not hold the weights of a {checkpoint.architecture} "
                f"({what.replace('_', ' ')}: {len(wrong)}, such as {names[:200]}). Save it again."
            )


def _look(model: Model) -> None:
    """Run one token, to see how wide the MLPs are, in what form the blocks give their output, and
    that heads are where they should be.

    A config's own word for the width is not always true (Falcon's is not), and the bridge cuts the
    heads of latent attention (DeepSeek) at the wrong places.
    """
    tuples: list[bool] = []
    widths: list[int] = []
    heads: set[int] = set()
    with contextlib.ExitStack() as stack:
        handle = model.blocks[0].register_forward_hook(
            lambda _m, _a, output: tuples.append(type(output) is tuple)
        )
        stack.callback(handle.remove)
        if model.reaches("post", 0):
            stack.enter_context(model.hooked("post", 0, lambda x: widths.append(x.shape[-1])))
        for layer in range(model.shape.n_layers):
            if model.reaches("z", layer):
                stack.enter_context(model.hooked("z", layer, lambda x: heads.add(x.shape[-2])))
        model(torch.zeros(1, 1, dtype=torch.long, device=model.device))
    if heads != {model.shape.n_heads}:
        raise ModelError(
            f"The attention heads of {model.checkpoint.architecture} cannot be reached one by one "
            "here, so it is not shown rather than shown wrongly."
        )
    model.block_gives_tuple = tuples[0]
    model.shape = replace(model.shape, d_mlp=widths[0] if widths else None)


def _shape(bridge: Any) -> Shape:
    cfg, config = bridge.cfg, bridge.original_model.config.to_dict()
    return Shape(
        n_layers=len(bridge.blocks),
        n_heads=cfg.n_heads,
        n_key_value_heads=getattr(cfg, "n_key_value_heads", None) or cfg.n_heads,
        d_model=cfg.d_model,
        d_head=cfg.d_head,
        d_mlp=None,
        d_vocab=bridge.original_model.get_output_embeddings().weight.shape[0],
        n_ctx=next((n for n in map(config.get, _LENGTHS) if isinstance(n, int)), None),
    )
