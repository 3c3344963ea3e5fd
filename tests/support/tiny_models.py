"""Tiny random models of many architectures, saved to disk as any checkpoint is.

Every parameter is random, norms and biases too, so that nothing is right by being zero or one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

VOCAB = 64
WORDS = [f"t{i}" for i in range(VOCAB - 3)]
LAYERS, HEADS, D_MODEL, D_MLP = 3, 4, 32, 48

_COMMON = {
    "vocab_size": VOCAB,
    "hidden_size": D_MODEL,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": D_MLP,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
_GROUPED: dict[str, Any] = {**_COMMON, "num_key_value_heads": 2}
_GPT = {
    "vocab_size": VOCAB, "n_embd": D_MODEL, "n_layer": LAYERS, "n_head": HEADS, "n_positions": 64,
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
_WINDOWS = ["sliding_attention", "full_attention", "sliding_attention"]

CONFIGS: dict[str, tuple[str, dict]] = {
    "gpt2": ("GPT2", _GPT),
    "gptj": ("GPTJ", {**_GPT, "rotary_dim": 4}),
    "gpt_neox": ("GPTNeoX", _COMMON),
    "opt": ("OPT", {**_COMMON, "ffn_dim": D_MLP, "word_embed_proj_dim": D_MODEL}),
    "llama": ("Llama", {**_GROUPED, "tie_word_embeddings": True}),
    "mistral": ("Mistral", {**_GROUPED, "sliding_window": 3}),
    "mixtral": ("Mixtral", {**_GROUPED, "num_local_experts": 4}),
    "qwen2": ("Qwen2", _GROUPED),
    "qwen3": ("Qwen3", {**_GROUPED, "head_dim": 16}),
    "gemma2": (
        "Gemma2",
        {**_GROUPED, "head_dim": 16, "sliding_window": 3, "final_logit_softcapping": 5.0,
         "attn_logit_softcapping": 3.0, "layer_types": _WINDOWS},
    ),
    "gemma3_text": (
        "Gemma3Text", {**_GROUPED, "head_dim": 16, "sliding_window": 3, "layer_types": _WINDOWS}
    ),
    "phi": ("Phi", _COMMON),
    "phi3": ("Phi3", _GROUPED),
    "olmo2": ("Olmo2", _GROUPED),
    "stablelm": ("StableLm", {**_GROUPED, "use_parallel_residual": True}),
    "falcon": ("Falcon", {**_COMMON, "multi_query": True, "alibi": False, "bias": True}),
}  # fmt: skip


LATE: dict[str, tuple[str, dict]] = {
    "deepseek_v3": (
        "DeepseekV3",
        {**_COMMON, "num_key_value_heads": 4, "n_routed_experts": 4, "num_experts_per_tok": 2,
         "n_group": 1, "topk_group": 1,
         "kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4,
         "v_head_dim": 8, "moe_intermediate_size": 16, "first_k_dense_replace": 1},
    ),
    "bloom": (
        "Bloom",
        {"vocab_size": VOCAB, "hidden_size": D_MODEL, "n_layer": LAYERS, "n_head": HEADS,
         "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
    ),
}  # fmt: skip
"""Architectures that make something by row, or keys and values of latent vectors."""


SCALED: dict[str, tuple[str, dict]] = {
    "granite": (
        "Granite", {**_GROUPED, "residual_multiplier": 0.3, "logits_scaling": 2.0,
                    "embedding_multiplier": 3.0, "attention_multiplier": 0.2}
    ),
    "cohere": ("Cohere", {**_GROUPED, "logit_scale": 0.3}),
}  # fmt: skip
"""Architectures that scale what a block adds to the residual stream, or the logits."""


_EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2}
HYBRIDS: dict[str, tuple[str, dict]] = {
    "jamba": (
        "Jamba",
        {**_GROUPED, **_EXPERTS, "attn_layer_period": 2, "attn_layer_offset": 1,
         "mamba_d_state": 8, "mamba_dt_rank": 4, "use_mamba_kernels": False},
    ),
    "qwen3_next": (
        "Qwen3Next",
        {**_GROUPED, **_EXPERTS, "head_dim": 8, "moe_intermediate_size": 16,
         "shared_expert_intermediate_size": 16, "mlp_only_layers": [2],
         "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
         "linear_value_head_dim": 8,
         "layer_types": ["linear_attention", "full_attention", "linear_attention"]},
    ),
    "bamba": (
        "Bamba",
        {**_GROUPED, "attn_layer_indices": [1], "mamba_n_heads": 4, "mamba_d_head": 16,
         "mamba_d_state": 8, "mamba_n_groups": 1, "mamba_chunk_size": 8},
    ),
    "lfm2": (
        "Lfm2",
        {**_GROUPED, "layer_types": ["conv", "full_attention", "conv"], "block_multiple_of": 8},
    ),
}  # fmt: skip
"""Architectures of which layer 1 alone has heads."""

SINKS: dict[str, tuple[str, dict]] = {
    "gpt_oss": (
        "GptOss",
        {**_GROUPED, **_EXPERTS, "head_dim": 8, "sliding_window": 3, "layer_types": _WINDOWS},
    ),
}  # fmt: skip
"""Architectures in which a sink that is no token takes a share of each head's attention."""


class Tiny(Protocol):
    """Gives the directory of a tiny model of an architecture, made when it is first asked for."""

    def __call__(self, kind: str, **changes: object) -> Path: ...


def save_tokenizer(directory: Path, adds_bos: bool = True) -> None:
    """A tokenizer of words `t0 … t60`, with `<s>` in front unless told otherwise.

    The words are added tokens as well: of a Qwen 2 model transformers keeps nothing else.
    """
    vocab = {word: i for i, word in enumerate(["<pad>", "<s>", "</s>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 1)]
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    fast.add_tokens([AddedToken(word, lstrip=True, normalized=False) for word in WORDS])
    fast.save_pretrained(directory)


@torch.no_grad()
def draw_weights(model: torch.nn.Module) -> None:
    """Give a model random weights, of a size that keeps its activations of one size."""
    for parameter in model.parameters():
        if parameter.ndim == 1:
            parameter.add_(0.3 * torch.randn_like(parameter))
        else:
            parameter.copy_(torch.randn_like(parameter) * 1.2 / parameter.shape[-1] ** 0.5)


def save_model(kind: str, directory: Path, **changes: object) -> Path:
    """Write a random model of an architecture, with its tokenizer."""
    prefix, options = (CONFIGS | LATE | SCALED | HYBRIDS | SINKS)[kind]
    config = getattr(transformers, f"{prefix}Config")(**{**options, **changes})
    torch.manual_seed(sum(map(ord, kind)))
    names = {"gpt2": "GPT2LMHeadModel", "gemma3_text": "Gemma3ForCausalLM"}
    model = getattr(transformers, names.get(kind, f"{prefix}ForCausalLM"))(config)
    draw_weights(model)
    model.save_pretrained(directory)
    save_tokenizer(directory)
    return directory
