"""Weights by TransformerLens name: equal to its bridge's, the second witness, and to what the
model itself does with them."""

import contextlib
import io
import math
import operator
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.activations import ACT2FN

import engine
from engine.errors import EngineError
from engine.model import weights
from engine.model.checkpoints import find_checkpoint
from engine.model.opening import open_model
from tests.support.tiny_models import (
    _COMMON,
    _GPT,
    _GROUPED,
    CONFIGS,
    D_MODEL,
    HEADS,
    LATE,
    LAYERS,
    SCALED,
    VOCAB,
    Tiny,
    save_tokenizer,
)

IDS = torch.tensor([[1, 5, 9, 30, 7, 12]])
N = IDS.shape[1]
LAYER = 1

JOINT: dict[str, tuple[str, dict]] = {
    "falcon_new_decoder": (
        "Falcon", {**_COMMON, "new_decoder_architecture": True, "num_kv_heads": 2, "alibi": False,
                   "bias": True}
    ),
    "falcon_alibi": (
        "Falcon", {**_COMMON, "multi_query": False, "alibi": True, "bias": True,
                   "parallel_attn": False}
    ),
    "gpt_bigcode": ("GPTBigCode", {**_GPT, "multi_query": True}),
    "codegen": ("CodeGen", {**_GPT, "rotary_dim": 4}),
    "mpt": (
        "Mpt", {"vocab_size": VOCAB, "d_model": D_MODEL, "n_layers": LAYERS, "n_heads": HEADS,
                "max_seq_len": 64, "expansion_ratio": 2}
    ),
    "bloom": LATE["bloom"],
    "glm": ("Glm", {**_GROUPED, "head_dim": 8}),
    "gpt_neo": (
        "GPTNeo", {"vocab_size": VOCAB, "hidden_size": D_MODEL, "num_layers": LAYERS + 1,
                   "num_heads": HEADS, "attention_types": [[["global", "local"], 2]],
                   "max_position_embeddings": 64, "window_size": 3, "bos_token_id": 1,
                   "eos_token_id": 2}
    ),
    "gpt_neox_no_bias": ("GPTNeoX", {**_COMMON, "attention_bias": False}),
    "nemotron": ("Nemotron", _GROUPED),
    "gemma": ("Gemma", {**_GROUPED, "head_dim": 16}),
    "olmo": ("Olmo", _COMMON),
}  # fmt: skip
"""More families that keep several weights in one, or their norms in a way of their own."""
FAMILIES = [*CONFIGS, *SCALED, *JOINT]
EXPERTS = {"mixtral"}
GATED = {
    "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3", "olmo",
    "olmo2", "stablelm", "granite", "cohere", "glm",
}  # fmt: skip
DENSE = [kind for kind in FAMILIES if kind not in EXPERTS]
LEARNED_POSITIONS = ["gpt2", "opt", "gpt_bigcode", "gpt_neo"]
ONE_PLUS = {"gemma", "gemma2", "gemma3_text", "nemotron"}
NORMED_HEADS = {"qwen3", "gemma3_text", "olmo2", "cohere", "stablelm"}
ALIBI = {"bloom", "mpt", "falcon_alibi"}
NOT_WITNESSED = {"falcon_new_decoder", "gpt_neox_no_bias"}
"""The bridge cuts the one as the older decoder and the other by its bias, and fails at both."""


def saved(kind: str, folder: Any) -> Any:
    """A random model of a family, every parameter of it random, as `tiny_models` writes them."""
    prefix, options = JOINT[kind]
    config = getattr(transformers, f"{prefix}Config")(**options)
    torch.manual_seed(sum(map(ord, kind)))
    model = getattr(transformers, f"{prefix}ForCausalLM")(config)
    with torch.no_grad():
        for p in model.parameters():
            fresh = torch.randn_like(p)
            p.add_(0.3 * fresh) if p.ndim == 1 else p.copy_(fresh * 1.2 / p.shape[-1] ** 0.5)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return folder


@pytest.fixture(scope="module")
def opened(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A family's tiny model, opened without being asked whether rows may share a pass in it."""
    made: dict[str, Any] = {}

    def give(kind: str) -> Any:
        if kind not in made:
            folder = saved(kind, tmp_path_factory.mktemp(kind)) if kind in JOINT else tiny(kind)
            checkpoint = find_checkpoint(str(folder))
            made[kind] = open_model(checkpoint, torch.device("cpu"), torch.float32)
        return made[kind]

    yield give
    for model in made.values():
        model.release()


@pytest.fixture(scope="module")
def passed(opened: Any) -> Any:
    """What goes into each module of a family's model and comes out, and what passes in LAYER."""
    made: dict[str, Any] = {}

    def give(kind: str) -> Any:
        if kind in made:
            return made[kind]
        model = opened(kind)
        ins, outs, seen, stack = {}, {}, {}, contextlib.ExitStack()

        def after(module: Any, args: Any, kwargs: Any, out: Any) -> None:
            given = args[0] if args else next(iter(kwargs.values()), None)
            ins[module] = given
            outs[module] = out[0] if isinstance(out, tuple) else out
            if isinstance(outs[module], torch.Tensor):
                outs[module] = outs[module].clone()  # Falcon adds to it in place

        def run() -> Any:
            with stack, torch.no_grad():
                for module in model.hf.modules():
                    handle = module.register_forward_hook(after, with_kwargs=True)
                    stack.callback(handle.remove)
                for name in ("q", "k", "v", "z", "post", "pattern", "attn_scores"):
                    if model.reaches(name, LAYER):
                        stack.enter_context(
                            model.hooked(name, LAYER, N, lambda x, n=name: seen.update({n: x[0]}))
                        )
                return model(IDS)[0]

        logits = model.worker.run(run)
        made[kind] = ins, outs, seen, logits
        return made[kind]

    return give


def close(ours: Any, theirs: Any, what: Any = "") -> None:
    torch.testing.assert_close(
        ours.detach(), theirs.detach(), atol=2e-5, rtol=2e-5, msg=lambda m: f"{what}: {m}"
    )


@pytest.mark.parametrize("kind", [k for k in FAMILIES if k not in NOT_WITNESSED])
def test_weights_are_those_of_the_bridge(kind: str, opened: Any) -> None:
    model = opened(kind)
    directory = str(model.checkpoint.directory)
    hf = AutoModelForCausalLM.from_pretrained(directory, attn_implementation="eager").eval()
    with contextlib.redirect_stdout(io.StringIO()):
        bridge = TransformerBridge.boot_transformers(
            directory, hf_model=hf, tokenizer=AutoTokenizer.from_pretrained(directory),
            dtype=torch.float32, device="cpu",
        )  # fmt: skip
    compared = set()
    for name in weights.shapes(model):
        theirs = witnessed(bridge, name)
        if theirs is not None:
            ours = weights.weight(model, name)
            assert ours.shape == theirs.shape, (name, ours.shape, theirs.shape)
            named = partial(operator.add, name)
            torch.testing.assert_close(ours, theirs, atol=0, rtol=0, msg=named)
            compared.add(name.rpartition(".")[2])
    assert compared >= {"W_Q", "W_K", "W_V", "W_O", "W_E", "W_U"}
    assert kind in EXPERTS or compared >= {"W_in", "W_out"}
    assert ("W_gate" in compared) == (kind in GATED)


def witnessed(bridge: Any, name: str) -> Any:
    """What the bridge has under a name of ours."""
    part = bridge.pos_embed if name == "pos_embed.W_pos" else bridge
    if name == "pos_embed.W_pos":
        return bridge.W_pos.detach()
    *path, last = name.split(".")
    for step in path:
        part = part[int(step)] if step.isdigit() else getattr(part, step, None)
        if part is None:
            return None
    if last in ("w", "b"):
        own = part.original_component
        value = own.weight if last == "w" else own.bias
    else:
        value = getattr(part, last, None)
    return None if value is None else value.detach()


@pytest.mark.parametrize("kind", FAMILIES)
def test_what_attention_reads_times_the_weights_is_q_k_and_v(
    kind: str, opened: Any, passed: Any
) -> None:
    model = opened(kind)
    ins, _, seen, _ = passed(kind)
    for name in "qkv":
        x = ins[model.place(name, LAYER).module][0]
        W = weights.weight(model, f"blocks.{LAYER}.attn.W_{name.upper()}")
        b = weights.weight(model, f"blocks.{LAYER}.attn.b_{name.upper()}")
        close(torch.einsum("pd,hde->phe", x, W) + b, seen[name], name)


@pytest.mark.parametrize("kind", [k for k in FAMILIES if k not in NORMED_HEADS | ALIBI])
def test_a_tokens_score_for_itself_is_its_query_times_its_key(
    kind: str, opened: Any, passed: Any
) -> None:
    """The rotation is the same for both and cancels, so this needs nothing of how it is done."""
    model = opened(kind)
    ins, _, seen, _ = passed(kind)
    x = ins[model.place("q", LAYER).module][0]
    q = torch.einsum("pd,hde->phe", x, weights.W_Q(model, LAYER)) + weights.b_Q(model, LAYER)
    W_K = weights.per_query_head(model, weights.W_K(model, LAYER))
    k = torch.einsum("pd,hde->phe", x, W_K)
    k = k + weights.per_query_head(model, weights.b_K(model, LAYER))
    scores = seen["attn_scores"].diagonal(dim1=1, dim2=2).T
    if kind == "gemma2":
        scores = 3.0 * torch.atanh(scores / 3.0)
    ours = (q * k).sum(-1)
    scale = float((scores * ours).sum() / (ours * ours).sum())
    assert scale > 0
    torch.testing.assert_close(scores, ours * scale, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("kind", FAMILIES)
def test_a_heads_pattern_times_its_values_is_what_it_gives(
    kind: str, opened: Any, passed: Any
) -> None:
    model = opened(kind)
    ins, _, seen, _ = passed(kind)
    x = ins[model.place("v", LAYER).module][0]
    W_V = weights.per_query_head(model, weights.W_V(model, LAYER))
    b_V = weights.per_query_head(model, weights.b_V(model, LAYER))
    v = torch.einsum("pd,hde->phe", x, W_V) + b_V
    close(torch.einsum("hqk,khe->qhe", seen["pattern"], v), seen["z"])


@pytest.mark.parametrize("kind", FAMILIES)
def test_what_heads_give_times_W_O_summed_is_attentions_output(
    kind: str, opened: Any, passed: Any
) -> None:
    model = opened(kind)
    _, outs, seen, _ = passed(kind)
    by_head = torch.einsum("phe,hed->phd", seen["z"], weights.W_O(model, LAYER))
    meant = outs[model.place("z", LAYER).module][0]
    close(by_head.sum(1) + weights.b_O(model, LAYER), meant)


@pytest.mark.parametrize("kind", DENSE)
def test_the_mlp_is_its_weights_and_its_activation_function(
    kind: str, opened: Any, passed: Any
) -> None:
    model = opened(kind)
    ins, outs, seen, _ = passed(kind)
    config = model.hf.config
    x = ins[model.layer(LAYER).parts["mlp.in"].module].reshape(N, -1)
    into = x @ weights.W_in(model, LAYER) + weights.b_in(model, LAYER)
    names = ("hidden_act", "activation_function", "hidden_activation", "activation")
    named = next((getattr(config, n) for n in names if getattr(config, n, None)), None)
    act = ACT2FN[named or {"bloom": "gelu_pytorch_tanh", "mpt": "gelu"}[kind]]
    if kind in GATED:
        gate = x @ weights.W_gate(model, LAYER) + weights.b_gate(model, LAYER)
        post = act(gate) * into
    else:
        post = act(into)
    close(post, seen["post"], "post")
    out = model.place("post", LAYER).module
    W, b = weights.W_out(model, LAYER), weights.b_out(model, LAYER)
    close(seen["post"] @ W + b, outs[out].reshape(N, -1))


@pytest.mark.parametrize("kind", FAMILIES)
def test_the_final_norm_then_W_U_gives_the_logits(kind: str, opened: Any, passed: Any) -> None:
    model = opened(kind)
    _, outs, _, logits = passed(kind)
    ours = outs[model.structure.ln_final][0] @ weights.W_U(model) + weights.b_U(model)
    close(ours, outs[model.unembed][0])
    factor = {"granite": 0.5, "cohere": 0.3}.get(kind, 1.0)
    ours = 5.0 * torch.tanh(ours / 5.0) if kind == "gemma2" else ours * factor
    close(ours, logits)


@pytest.mark.parametrize("kind", FAMILIES)
def test_W_E_is_each_tokens_embedding(kind: str, opened: Any, passed: Any) -> None:
    model = opened(kind)
    _, outs, _, _ = passed(kind)
    factor = math.sqrt(D_MODEL) if kind.startswith("gemma") else 1.0
    close(weights.W_E(model)[IDS[0]] * factor, outs[model.structure.embed][0])


@pytest.mark.parametrize("kind", LEARNED_POSITIONS)
def test_the_stream_begins_as_token_and_position(kind: str, opened: Any, passed: Any) -> None:
    model = opened(kind)
    ins, _, _, _ = passed(kind)
    W_pos = weights.W_pos(model)
    assert W_pos.shape == (64, D_MODEL)
    close(weights.W_E(model)[IDS[0]] + W_pos[:N], ins[model.blocks[0]][0])


@pytest.mark.parametrize("kind", [k for k in FAMILIES if k not in LEARNED_POSITIONS])
def test_a_family_without_a_table_of_positions_says_so(kind: str, opened: Any) -> None:
    with pytest.raises(EngineError, match="has no W_pos: its embedding has no learned table"):
        weights.W_pos(opened(kind))


@pytest.mark.parametrize("kind", [k for k in FAMILIES if k != "olmo"])
def test_norms_are_as_stored_and_gemmas_multiply_by_one_more(
    kind: str, opened: Any, passed: Any
) -> None:
    model = opened(kind)
    ins, outs, _, _ = passed(kind)
    norms = {"ln_final": (None, model.structure.ln_final)}
    norms |= {
        name: (LAYER, place.module)
        for name, place in model.layer(LAYER).parts.items()
        if name.startswith("ln")
    }
    assert len(norms) >= 2
    for name, (layer, module) in norms.items():
        x = ins[module].reshape(N, -1)
        if "RMS" not in type(module).__name__:
            x = x - x.mean(-1, keepdim=True)
        config = model.hf.config
        named = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_eps")
        eps = next((getattr(config, n) for n in named if getattr(config, n, None)), 1e-5)
        x = x * (x.pow(2).mean(-1, keepdim=True) + eps).rsqrt()
        w = weights.norm_w(model, name, layer)
        ours = x * (1 + w if kind in ONE_PLUS else w)
        with contextlib.suppress(EngineError):  # that it adds none
            ours = ours + weights.norm_b(model, name, layer)
        close(ours, outs[module].reshape(N, -1), name)


def test_a_norm_that_stores_nothing_says_so(opened: Any) -> None:
    model = opened("olmo")
    with pytest.raises(EngineError, match=r"no ln1.w in layer 0: that norm \(OlmoLayerNorm\) mul"):
        weights.weight(model, "blocks.0.ln1.w")
    with pytest.raises(EngineError, match=r"no ln1.b in layer 0: that norm \(LlamaRMSNorm\) adds"):
        weights.weight(opened("llama"), "blocks.0.ln1.b")
    with pytest.raises(EngineError, match=r"no ln1\.w in layer 2: there is no norm of that name"):
        weights.weight(opened("olmo2"), "blocks.2.ln1.w")


def test_a_mixture_of_experts_has_no_one_weight_into_its_neurons(opened: Any) -> None:
    model = opened("mixtral")
    for name in ("W_in", "W_gate", "W_out", "b_out"):
        with pytest.raises(EngineError) as told:
            weights.weight(model, f"blocks.1.mlp.{name}")
        assert str(told.value) == (
            f"MixtralForCausalLM has no {name} in layer 1: its MLP is a mixture of experts, each "
            "with weights of its own."
        )
    assert not any(".mlp." in name for name in weights.shapes(model))


def test_an_mlp_without_a_gate_says_so(opened: Any) -> None:
    with pytest.raises(EngineError, match="GPT2LMHeadModel has no W_gate in layer 0: its MLP has"):
        weights.weight(opened("gpt2"), "blocks.0.mlp.W_gate")


def test_latent_attention_has_no_one_weight_into_its_queries(tiny: Tiny) -> None:
    checkpoint = find_checkpoint(str(tiny("deepseek_v3", num_key_value_heads=HEADS)))
    model = open_model(checkpoint, torch.device("cpu"), torch.float32)
    try:
        with pytest.raises(EngineError, match="DeepseekV3ForCausalLM has no W_K in layer 1: no pr"):
            weights.weight(model, "blocks.1.attn.W_K")
        assert weights.weight(model, "blocks.0.mlp.W_gate").shape == (D_MODEL, 48)
        with pytest.raises(EngineError, match="no W_in in layer 1: its MLP is a mixture of exp"):
            weights.weight(model, "blocks.1.mlp.W_in")
    finally:
        model.release()


def test_quantized_numbers_are_not_shown_as_weights(tiny: Tiny) -> None:
    checkpoint = find_checkpoint(str(tiny("llama")))
    model = open_model(checkpoint, torch.device("cpu"), torch.float32)
    try:
        for dtype in (torch.float8_e4m3fn, torch.uint8):
            packed: Any = model.layer(0).parts["mlp.in"].module
            packed.weight = torch.nn.Parameter(packed.weight.to(dtype), requires_grad=False)
            with pytest.raises(EngineError, match=r"W_in in layer 0 of LlamaForCausalLM is quant"):
                weights.weight(model, "blocks.0.mlp.W_in")
            assert "blocks.0.mlp.W_in" not in weights.shapes(model)
            assert weights.W_in(model, 1).shape == (D_MODEL, 48)
    finally:
        model.release()


@pytest.mark.parametrize("kind", [k for k in FAMILIES if k != "falcon_new_decoder"])
def test_weights_are_the_models_own_memory(kind: str, opened: Any) -> None:
    model = opened(kind)
    own = {p.untyped_storage().data_ptr() for p in model.hf.parameters()}
    for name in weights.shapes(model):
        at = weights.weight(model, name).untyped_storage().data_ptr()
        if kind == "codegen" and name[-3:] in ("W_Q", "W_K", "W_V"):
            continue  # lie in four shares each
        assert at in own, name


def test_a_tied_unembedding_is_the_embeddings_memory(opened: Any) -> None:
    model = opened("llama")
    W_E, W_U = weights.W_E(model), weights.W_U(model)
    assert W_E.data_ptr() == W_U.data_ptr()
    assert torch.equal(W_E.T, W_U)


def test_biases_that_a_model_does_without_are_zeros_and_not_listed(opened: Any) -> None:
    model = opened("llama")
    names = weights.shapes(model)
    for name, shape in {
        "blocks.0.attn.b_Q": (HEADS, 8), "blocks.0.attn.b_K": (2, 8), "blocks.0.attn.b_O": (32,),
        "blocks.0.mlp.b_gate": (48,), "blocks.0.mlp.b_out": (32,), "unembed.b_U": (VOCAB,),
    }.items():  # fmt: skip
        assert torch.equal(weights.weight(model, name), torch.zeros(shape))
        assert name not in names


def test_the_door_gives_arrays_that_are_the_readers_own(tiny: Tiny) -> None:
    name = str(tiny("llama"))
    W_Q = engine.weight(name, "blocks.1.attn.W_Q")
    assert W_Q.dtype == np.float32 and W_Q.shape == (HEADS, D_MODEL, 8)
    W_Q[:] = 0
    assert np.abs(engine.weight(name, "blocks.1.attn.W_Q")).sum() > 0
    assert engine.weight(name, "W_U").shape == (D_MODEL, VOCAB)
    W_K, each = engine.weight(name, "W_K"), engine.weight(name, "W_K", per_query_head=True)
    assert (W_K.shape, each.shape) == ((LAYERS, 2, D_MODEL, 8), (LAYERS, HEADS, D_MODEL, 8))
    assert np.array_equal(each[2, 3], W_K[2, 1])
    b_V = engine.weight(name, "blocks.0.attn.b_V", per_query_head=True)
    assert b_V.shape == (HEADS, 8)


def test_all_weights_of_a_model_are_listed_and_read_by_name(tiny: Tiny) -> None:
    found = engine.weights(str(tiny("gpt2")))
    listed = list(found)
    assert listed[:3] == ["embed.W_E", "pos_embed.W_pos", "blocks.0.ln1.w"]
    assert listed[-1] == "unembed.W_U"
    assert all(found[name].shape == shape for name, shape in found.shapes.items())
    whole = sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(found.model).parameters())
    tied = found["unembed.W_U"].size
    assert sum(math.prod(shape) for shape in found.shapes.values()) == whole + tied


def test_a_name_that_is_none_is_answered_with_those_there_are(tiny: Tiny) -> None:
    name = str(tiny("gpt2"))
    with pytest.raises(EngineError, match=r"“blocks.0.attn.W_X” is no name of a weight; they are"):
        engine.weight(name, "blocks.0.attn.W_X")
    with pytest.raises(EngineError, match=r"There is no layer 3 in .*: it has 3, counted from 0"):
        engine.weight(name, "blocks.3.attn.W_Q")
    with pytest.raises(EngineError, match="W_in is not of key-value heads"):
        engine.weight(name, "W_in", per_query_head=True)
