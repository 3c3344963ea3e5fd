"""TransformerBridge as anyone has it: the rival of what the engine does with its own."""

from __future__ import annotations

import contextlib
import copy
import io

import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM

from engine.model.model import Model


def bridge_of(model: Model) -> TransformerBridge:
    """One over a model's checkpoint, as it comes, on the same device and in the same dtype."""
    where = str(model.checkpoint.directory)
    hf = AutoModelForCausalLM.from_pretrained(where, dtype=model.dtype).to(model.device).eval()
    with contextlib.redirect_stdout(io.StringIO()):
        bridge = TransformerBridge.boot_transformers(
            where,
            hf_model=hf,
            dtype=model.dtype,
            device=model.device,
            tokenizer=copy.deepcopy(model.tokenizer.hf),
        )
    with torch.no_grad():
        bridge(torch.zeros(1, 1, dtype=torch.long, device=model.device))  # weights are mapped late
    return bridge
