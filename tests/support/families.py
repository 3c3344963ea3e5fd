"""Every family of language models that transformers and TransformerLens share, made tiny.

A member is a family in one of its settings: three layers, width 32, four heads over two key-value
heads where the family can. Every parameter is random, norms and biases too. What the two share but
nobody can make tiny here is in `LEFT_OUT`, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from transformer_lens.factories.architecture_adapter_factory import SUPPORTED_ARCHITECTURES
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from tests.support.tiny_models import draw_weights, save_tokenizer

VOCAB, LAYERS, HEADS, WIDTH = 64, 3, 4, 32
_MIDDLE = ["linear_attention", "full_attention", "linear_attention"]
_WINDOWS = ["sliding_attention", "full_attention", "sliding_attention"]

_USUAL: dict[str, Any] = {
    "vocab_size": VOCAB, "max_position_embeddings": 64, "n_positions": 64, "max_seq_len": 64,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    "hidden_size": WIDTH, "n_embd": WIDTH, "d_model": WIDTH, "word_embed_proj_dim": WIDTH,
    "num_hidden_layers": LAYERS, "n_layer": LAYERS, "n_layers": LAYERS, "num_layers": LAYERS,
    "num_attention_heads": HEADS, "n_head": HEADS, "n_heads": HEADS, "attention_heads": HEADS,
    "num_key_value_heads": 2, "head_dim": 8, "rotary_dim": 4, "sliding_window": 3,
    "intermediate_size": 48, "ffn_dim": 48, "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16, "shared_intermediate_size": 16,
    "num_local_experts": 4, "num_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "n_group": 1, "topk_group": 1, "first_k_dense_replace": 1,
    "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_d_conv": 4,
    "mamba_expand": 2, "mamba_dt_rank": 4, "mamba_n_groups": 1, "mamba_d_ssm": 64,
    "mamba_chunk_size": 8, "chunk_size": 8,
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}  # fmt: skip
"""What families call the same few sizes; a config is given those it has."""

_LATENT = {
    "kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 4, "qk_nope_head_dim": 4,
    "v_head_dim": 8, "head_dim": 4, "num_key_value_heads": HEADS,
}  # fmt: skip
_LONG_ROPE = {
    "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 16,
    "short_factor": [1.0, 1.5, 2.0, 3.0], "long_factor": [2.0, 9.0, 14.0, 25.0],
}  # fmt: skip
_GRANITE = {
    "residual_multiplier": 0.3, "logits_scaling": 2.0, "embedding_multiplier": 3.0,
    "attention_multiplier": 0.2,
}  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One family in one setting: transformers' model_type, and the fields beside the usual ones."""

    model_type: str
    options: dict[str, Any] = field(default_factory=dict)
    buffers: tuple[str, ...] = ()

    def config(self) -> Any:
        """transformers' own config of it."""
        own = CONFIG_MAPPING[self.model_type]
        known = own().to_dict()
        return own(**{k: v for k, v in _USUAL.items() if k in known} | self.options)


def _plain(*names: str) -> dict[str, Member]:
    return {name: Member(name) for name in names}


_BIAS = ("e_score_correction_bias",)

MEMBERS: dict[str, Member] = {
    **_plain(
        "afmoe", "apertus", "arcee", "bitnet", "bloom", "codegen", "cohere", "cohere2", "ernie4_5",
        "ernie4_5_moe", "exaone", "exaone4", "falcon_h1", "falcon_mamba", "flex_olmo", "gemma",
        "glm", "glm4", "gpt-sw3", "gpt2", "gpt_oss", "gptj", "granitemoe", "hrm_text",
        "hunyuan_v1_dense", "internlm3", "iquestcoder", "jais2", "jetmoe", "laguna", "llama",
        "mamba", "minimax_m2", "ministral3", "mistral", "mixtral", "modernbert-decoder", "mpt",
        "nanochat", "nemotron", "olmo", "olmo2", "olmo3", "olmo_hybrid", "olmoe", "openai-gpt",
        "opt", "phi", "phi3", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "recurrent_gemma",
        "rwkv", "seed_oss", "smollm3", "stablelm", "starcoder2", "vaultgemma", "xglm",
    ),
    "bert": Member("bert", {"is_decoder": True}),
    "deepseek_v2": Member("deepseek_v2", _LATENT),
    "deepseek_v3": Member("deepseek_v3", _LATENT, _BIAS),
    "youtu": Member("youtu", _LATENT),
    "glm4_moe": Member("glm4_moe", {}, _BIAS),
    "glm4_moe_lite": Member("glm4_moe_lite", _LATENT, _BIAS),
    "sarvam_mla": Member("sarvam_mla", _LATENT, _BIAS),
    "sarvam_moe": Member("sarvam_moe", {}, _BIAS),
    "glm_moe_dsa": Member(
        "glm_moe_dsa",
        {**_LATENT, "index_topk": 3, "index_head_dim": 8, "index_n_heads": 2}, _BIAS,
    ),
    "deepseek_v4": Member(
        "deepseek_v4",
        {"num_key_value_heads": 1, "q_lora_rank": 8, "o_lora_rank": 8, "o_groups": 2,
         "index_n_heads": 2, "index_head_dim": 8, "index_topk": 3, "hc_mult": 2,
         "rope_parameters": None, "partial_rotary_factor": 0.5,
         "layer_types": ["sliding_attention", "compressed_sparse_attention",
                         "heavily_compressed_attention"],
         "compress_rates": {"compressed_sparse_attention": 2, "heavily_compressed_attention": 4},
         "mlp_layer_types": ["moe"] * LAYERS},
    ),
    "falcon": Member("falcon", {"bias": True}),
    "falcon, new layout": Member(
        "falcon", {"new_decoder_architecture": True, "num_kv_heads": 2, "bias": True}
    ),
    "falcon, alibi": Member("falcon", {"alibi": True, "bias": True}),
    "falcon, no shared keys": Member("falcon", {"multi_query": False}),
    "falcon, alibi, one after the other": Member(
        "falcon", {"alibi": True, "multi_query": False, "parallel_attn": False}
    ),
    "bloom, residual after the norm": Member(
        "bloom", {"apply_residual_connection_post_layernorm": True}
    ),
    "gemma2": Member(
        "gemma2",
        {"final_logit_softcapping": 5.0, "attn_logit_softcapping": 3.0, "layer_types": _WINDOWS},
    ),
    "gemma3_text": Member("gemma3_text", {"layer_types": _WINDOWS}),
    "gemma3_text, scores capped": Member(
        "gemma3_text", {"layer_types": _WINDOWS, "attn_logit_softcapping": 3.0}
    ),
    "gemma4_text": Member(
        "gemma4_text",
        {"layer_types": _WINDOWS, "vocab_size_per_layer_input": VOCAB,
         "hidden_size_per_layer_input": 8, "global_head_dim": 16}, ("layer_scalar",),
    ),
    "gemma4_text, shared keys": Member(
        "gemma4_text",
        {"layer_types": ["sliding_attention", "full_attention", "full_attention"],
         "vocab_size_per_layer_input": VOCAB, "hidden_size_per_layer_input": 8,
         "num_kv_shared_layers": 1, "global_head_dim": 8},
        ("layer_scalar",),
    ),
    "gpt2, scores unscaled": Member("gpt2", {"scale_attn_weights": False}),
    "gpt2, scores scaled by layer": Member(
        "gpt2", {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True}
    ),
    "gpt_bigcode": Member("gpt_bigcode", {"multi_query": True}),
    "gpt_bigcode, no shared keys": Member("gpt_bigcode", {"multi_query": False}),
    "gpt_neo": Member(
        "gpt_neo",
        {"attention_types": [[["global", "local", "global"], 1]], "window_size": 3,
         "num_heads": HEADS},
    ),
    "gpt_neox": Member("gpt_neox"),
    "gpt_neox, no attention bias": Member("gpt_neox", {"attention_bias": False}),
    "gpt_neox, one after the other": Member("gpt_neox", {"use_parallel_residual": False}),
    "granite": Member("granite", _GRANITE),
    "granitemoe, scaled": Member("granitemoe", _GRANITE),
    "granitemoehybrid": Member("granitemoehybrid", {**_GRANITE, "layer_types": _MIDDLE}),
    "granitemoehybrid, no experts": Member(
        "granitemoehybrid", {**_GRANITE, "layer_types": _MIDDLE, "num_local_experts": 0}
    ),
    "bamba": Member("bamba", {"attn_layer_indices": [1]}),
    "jamba": Member("jamba", {"attn_layer_period": 2, "attn_layer_offset": 1,
                              "use_mamba_kernels": False}),
    "lfm2": Member("lfm2", {"layer_types": ["conv", "full_attention", "conv"],
                            "block_multiple_of": 8}),
    "lfm2_moe": Member("lfm2_moe", {"layer_types": ["conv", "full_attention", "conv"],
                                    "num_dense_layers": 1}, ("expert_bias",)),
    "llama, frequencies follow the length": Member(
        "llama",
        {"rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0},
         "max_position_embeddings": 6},
    ),
    "llama, biases, tied": Member(
        "llama", {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True}
    ),
    "llama4_text": Member(
        "llama4_text",
        {"attention_chunk_size": 4, "interleave_moe_layer_step": 2, "num_experts_per_tok": 1,
         "intermediate_size_mlp": 48, "no_rope_layers": [1, 0, 1], "floor_scale": 4},
    ),
    "mamba2": Member("mamba2", {"num_heads": 8, "head_dim": 8, "n_groups": 1, "state_size": 8}),
    "nemotron_h": Member(
        "nemotron_h",
        {"layers_block_type": ["linear_attention", "full_attention", "mlp", "moe"],
         "ssm_state_size": 8, "mamba_num_heads": 4, "mamba_head_dim": 16, "n_groups": 1,
         "moe_shared_expert_intermediate_size": 16, "use_mamba_kernels": False}, _BIAS,
    ),
    "opt, norms behind": Member("opt", {"do_layer_norm_before": False}),
    "opt, embedding of another width": Member("opt", {"word_embed_proj_dim": 16}),
    "phi3, frequencies follow the length": Member("phi3", {"rope_parameters": _LONG_ROPE}),
    "qwen3_5_text": Member("qwen3_5_text", {"layer_types": _MIDDLE}),
    "qwen3_5_moe_text": Member("qwen3_5_moe_text", {"layer_types": _MIDDLE}),
    "qwen3_next": Member("qwen3_next", {"layer_types": _MIDDLE, "mlp_only_layers": [2]}),
    "stablelm, heads normed": Member("stablelm", {"qk_layernorm": True}),
    "stablelm, side by side": Member(
        "stablelm", {"use_parallel_residual": True, "use_qkv_bias": True}
    ),
    "zamba2": Member(
        "zamba2",
        {"layers_block_type": ["linear_attention", "hybrid", "linear_attention"],
         "mamba_d_state": 8, "n_mamba_heads": 4, "attention_head_dim": 16,
         "num_key_value_heads": HEADS, "use_mamba_kernels": False},
    ),
    "zamba2, two layers share attention": Member(
        "zamba2",
        {"layers_block_type": ["linear_attention", "hybrid", "linear_attention", "hybrid"],
         "num_hidden_layers": 4, "num_mem_blocks": 1, "mamba_d_state": 8, "n_mamba_heads": 4,
         "attention_head_dim": 16, "num_key_value_heads": HEADS, "use_mamba_kernels": False},
    ),
}  # fmt: skip

LEFT_OUT = {
    "gemma3": "reads images too; its text part is gemma3_text",
    "gemma3n": "reads images too, and needs timm",
    "gemma4": "reads images too; its text part is gemma4_text",
    "gemma4_unified": "reads images too; its text part is gemma4_text",
    "llama4": "reads images too; its text part is llama4_text",
    "qwen3_5": "reads images too; its text part is qwen3_5_text",
    "qwen3_5_moe": "reads images too; its text part is qwen3_5_moe_text",
}
"""What transformers and TransformerLens share and is not made tiny here."""


def save_member(name: str, directory: Path) -> Path:
    """Write a random model of the matrix, with its tokenizer of words."""
    member = MEMBERS[name]
    torch.manual_seed(sum(map(ord, name)))
    model = AutoModelForCausalLM.from_config(member.config())
    draw_weights(model)
    with torch.no_grad():
        for path, buffer in model.named_buffers():
            if path.endswith(member.buffers or ("no such buffer",)):
                buffer.add_(0.3 * torch.randn_like(buffer))
    model.save_pretrained(directory)
    save_tokenizer(directory)
    return directory


@cache
def shared_families() -> frozenset[str]:
    """The model_types of causal language models that TransformerLens has names for."""
    return frozenset(
        kind
        for kind, architecture in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items()
        if architecture in SUPPORTED_ARCHITECTURES
    )
