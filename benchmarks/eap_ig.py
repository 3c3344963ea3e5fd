"""hannamw's EAP-IG (Hanna, Pezzelle & Belinkov 2024) on a saved GPT-2, timed each time a line,
"edges" or "nodes", comes in.

It is run by the Python of another environment as `eap_ig.py DIRECTORY PAIRS STEPS`, and knows
nothing of the engine. PAIRS is JSON: clean ids, corrupted ids, answer and distractor of each pair,
all of one length. Its code asks for a graphics card by name and for text; it is given the processor
and ids. Weights take no gradients but the embedding's, where its notebooks leave all on: that is
to its advantage. Its own code takes the gradients of edges in the runs 0 to STEPS − 1; here they
are taken in 1 to STEPS, as it does those of nodes.
Answers, a line each: wall and processor seconds, and the scores as JSON.
"""

import json
import sys
import time
from importlib import import_module
from typing import Any

import torch
from eap.graph import Graph
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights
from transformers import GPT2LMHeadModel

BY: dict[str, tuple[Any, str]] = {
    "edges": (import_module("eap.attribute"), "attribute"),
    "nodes": (import_module("eap.attribute_node"), "attribute_node"),
}
zeros = torch.zeros


def zeros_here(*shape: Any, device: Any = None, **others: Any) -> torch.Tensor:
    return zeros(*shape, device="cpu" if device == "cuda" else device, **others)


def read(_model: Any, ids: list[list[int]], max_length: Any = None) -> tuple[Any, ...]:
    tokens = torch.tensor(ids)
    mask = torch.ones_like(tokens)
    return tokens, mask, mask.sum(1), tokens.shape[1]


def logit_diff(logits: Any, _clean: Any, _lengths: Any, labels: list[list[int]]) -> torch.Tensor:
    both = logits[:, -1].gather(1, torch.tensor(labels))
    return (both[:, 0] - both[:, 1]).sum()


def model_of(directory: str) -> Any:
    hf = GPT2LMHeadModel.from_pretrained(directory).eval()
    c = hf.config
    config = HookedTransformerConfig(
        n_layers=c.n_layer, d_model=c.n_embd, n_ctx=c.n_positions, d_head=c.n_embd // c.n_head,
        n_heads=c.n_head, d_mlp=4 * c.n_embd, d_vocab=c.vocab_size, act_fn="gelu_new",
        normalization_type="LN", eps=c.layer_norm_epsilon, use_attn_result=True,
        use_split_qkv_input=True, use_hook_mlp_in=True, device="cpu",
    )  # fmt: skip
    model = HookedTransformer(config)
    model.load_state_dict(convert_gpt2_weights(hf, config), strict=False)
    model.eval().requires_grad_(False)
    model.embed.requires_grad_(True)  # else nothing of its nodes' runs takes any
    return model


def main(directory: str, written: str, steps: int) -> None:
    torch.zeros = zeros_here
    for module, _ in BY.values():
        module.tokenize_plus = read
    BY["edges"][0].range = lambda first, stop: range(first + 1, stop + 1)
    model, pairs = model_of(directory), json.loads(written)
    print("ready", flush=True)
    for line in sys.stdin:
        kind = line.strip()
        module, name = BY[kind]
        graph = Graph.from_model(model, node_scores=kind == "nodes")
        wall, processor = time.perf_counter(), time.process_time()
        getattr(module, name)(
            model, graph, [tuple(map(list, zip(*pairs, strict=True)))], logit_diff,
            "EAP-IG-inputs", ig_steps=steps, quiet=True,
        )  # fmt: skip
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        scores = graph.scores if kind == "edges" else graph.nodes_scores
        print(json.dumps([wall, processor, scores.tolist()]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
