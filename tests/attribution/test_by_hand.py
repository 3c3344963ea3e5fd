"""What a head writes, worked out by plain torch from Hugging Face's own weights, with nothing but a
forward hook: families with grouped queries, norms behind, multipliers, biases, a cap."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM

import engine
from tests.support.families import HEADS

PROMPT: dict[str, Any] = {"prompt": "t1 t5 t9 t2", "answer": " t11", "distractor": " t20"}


@dataclass(frozen=True)
class Family:
    """Where a family has what is needed, as transformers' own modelling code has it.

    `behind`: the norm that a layer's attention goes through; `one_more`: norms multiply by 1 + w;
    `centred`: the final norm takes the mean off; `scale`: of what is added to the stream, and
    `logits`: of the logits, in words of the config.
    """

    layers: str = "model.layers"
    out: str = "self_attn.o_proj"
    final: str = "model.norm"
    behind: str = ""
    one_more: bool = False
    centred: bool = False
    scale: str = ""
    logits: str = ""


FAMILIES = {
    "llama": Family(),  # four heads over two
    "gpt2": Family("transformer.h", "attn.c_proj", "transformer.ln_f", centred=True),
    "gpt_neox": Family(
        "gpt_neox.layers", "attention.dense", "gpt_neox.final_layer_norm", centred=True
    ),
    "gemma2": Family(behind="post_attention_layernorm", one_more=True),
    "olmo2": Family(behind="post_attention_layernorm"),
    "granite": Family(scale="residual_multiplier", logits="1/logits_scaling"),
    "cohere": Family(centred=True, logits="logit_scale"),
    "falcon": Family(
        "transformer.h", "self_attention.dense", "transformer.ln_f", centred=True
    ),  # all heads over one key and value
}


def held(norm: Any, x: Tensor, family: Family, centred: bool) -> tuple[Tensor, Tensor]:
    """A norm's weights, and 1 / the size it divides `x` by."""
    eps = next(
        float(getattr(norm, name)) for name in ("eps", "variance_epsilon") if hasattr(norm, name)
    )
    weight = norm.weight + 1 if family.one_more else norm.weight
    x = x - x.mean() if centred else x
    return weight.double(), (x.pow(2).mean() + eps).rsqrt()


def by_hand(directory: Path, family: Family, layer: int, ids: Any, tokens: Any) -> np.ndarray:
    """What each head of a layer writes, [head], in logits."""
    hf: Any = AutoModelForCausalLM.from_pretrained(directory, attn_implementation="eager").eval()
    block, seen = hf.get_submodule(family.layers)[layer], {}
    out, final = block.get_submodule(family.out), hf.get_submodule(family.final)

    def seeing(name: str) -> Any:
        def see(_m: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
            given = args[0] if args else next(iter(kwargs.values()))
            seen[name] = given[0, -1].double()

        return see

    out.register_forward_pre_hook(seeing("z"), with_kwargs=True)
    final.register_forward_pre_hook(seeing("x"), with_kwargs=True)
    with torch.no_grad():
        hf(torch.tensor([list(ids)]))
    weight = out.weight.detach().double()
    weight = weight.T if hasattr(out, "nf") else weight  # [d_model, heads × d_head]
    z = seen["z"].view(HEADS, -1)
    written = torch.einsum("hd,mhd->hm", z, weight.view(weight.shape[0], HEADS, -1))
    if family.behind:
        added = 0 if out.bias is None else out.bias.double()
        norm = block.get_submodule(family.behind)
        gain, size = held(norm, written.sum(0) + added, family, centred=False)
        written = written * gain * size
    written = written * (getattr(hf.config, family.scale) if family.scale else 1.0)
    gain, size = held(final, seen["x"], family, family.centred)
    if family.centred:
        written = written - written.mean(-1, keepdim=True)
    unembed = hf.get_output_embeddings().weight.detach().double()
    numbers = written * gain * size @ (unembed[tokens[0]] - unembed[tokens[1]])
    factor = 1.0
    if family.logits:
        factor = float(getattr(hf.config, family.logits.removeprefix("1/")))
        factor = 1 / factor if family.logits.startswith("1/") else factor
    return np.asarray(numbers.detach() * factor)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_heads_number_is_what_plain_torch_makes_of_the_weights(
    name: str, member: Callable[[str], Path]
) -> None:
    directory = member(name)
    e = engine.Experiment(str(directory), **PROMPT)
    result = engine.direct_attribution(e)
    ids = engine.tokenize(str(directory), e.prompt).ids
    tokens = engine.next_token(e).clean_marked.ids
    for layer in range(3):
        expected = by_hand(directory, FAMILIES[name], layer, ids, tokens)
        np.testing.assert_allclose(result.clean.sites.heads[layer], expected, atol=2e-5)
