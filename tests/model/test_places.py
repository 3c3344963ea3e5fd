"""Where activations pass: names as TransformerLens has them, numbers as its bridge, the second
witness, sees them."""

import contextlib
import io
import operator
from functools import partial
from typing import Any

import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine import registry
from engine.experiment.sites import Shape
from engine.passes import forward
from tests.support.tiny_models import CONFIGS, HEADS, LAYERS, SCALED, Tiny

IDS = [[1, 5, 9, 30, 7, 12]]
NOT_WITNESSED = {
    # the bridge makes patterns and scores of its own in these, or has other names for a part
    "gptj": {"pattern", "attn_scores"},
    "opt": {"pattern", "attn_scores"},
    "falcon": {"attn_scores"},
}


def seen(loaded: Any, names: list[tuple[str, int]]) -> dict:
    rows = [forward.Row(tuple(IDS[0]), captures=frozenset(names))]
    return loaded.worker.run(lambda: forward.run(loaded, rows))[0].captured


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_pass_is_the_hugging_face_models_own(kind: str, tiny: Tiny) -> None:
    directory = str(tiny(kind))
    loaded = registry.load(directory)
    plain = AutoModelForCausalLM.from_pretrained(directory, attn_implementation="eager").eval()
    ours = loaded.worker.run(lambda: loaded(torch.tensor(IDS)))
    torch.testing.assert_close(ours, plain(torch.tensor(IDS)).logits.detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", CONFIGS)
def test_activations_have_the_axes_of_transformer_lens(kind: str, tiny: Tiny) -> None:
    loaded = registry.load(str(tiny(kind)))
    shape: Shape = loaded.shape
    assert (shape.n_layers, shape.n_heads) == (LAYERS, HEADS)
    n = len(IDS[0])
    wanted = {
        "resid_pre": (n, shape.d_model),
        "resid_post": (n, shape.d_model),
        "attn_out": (n, shape.d_model),
        "mlp_out": (n, shape.d_model),
        "q": (n, HEADS, shape.d_head),
        "k": (n, shape.n_key_value_heads, shape.d_head),
        "v": (n, shape.n_key_value_heads, shape.d_head),
        "z": (n, HEADS, shape.d_head),
        "pattern": (HEADS, n, n),
        "attn_scores": (HEADS, n, n),
    }
    if shape.d_mlp is not None:
        wanted["post"] = (n, shape.d_mlp)
    found = seen(loaded, [(name, 1) for name in wanted])
    assert {name: tuple(found[name, 1].shape) for name in wanted} == wanted


@pytest.mark.parametrize("kind", [*CONFIGS, *SCALED])
def test_the_bridge_sees_the_same_at_every_place(kind: str, tiny: Tiny) -> None:
    directory = str(tiny(kind))
    loaded = registry.load(directory)
    hf = AutoModelForCausalLM.from_pretrained(directory, attn_implementation="eager").eval()
    with contextlib.redirect_stdout(io.StringIO()):
        bridge = TransformerBridge.boot_transformers(
            directory, hf_model=hf, tokenizer=AutoTokenizer.from_pretrained(directory),
            dtype=torch.float32, device="cpu",
        )  # fmt: skip
    _, theirs = bridge.run_with_cache(torch.tensor(IDS))
    places = {
        "resid_pre": "hook_resid_pre", "resid_mid": "hook_resid_mid", "resid_post":
        "hook_resid_post", "attn_out": "hook_attn_out", "mlp_out": "hook_mlp_out",
        "q": "attn.hook_q", "k": "attn.hook_k", "v": "attn.hook_v", "z": "attn.hook_z",
        "pattern": "attn.hook_pattern", "post": "mlp.hook_post",
    }  # fmt: skip
    compared = 0
    for name, hook in places.items():
        at = f"blocks.1.{hook}"
        if not loaded.reaches(name, 1) or name in NOT_WITNESSED.get(kind, ()) or at not in theirs:
            continue
        ours = seen(loaded, [(name, 1)])[name, 1]
        torch.testing.assert_close(
            ours,
            theirs[at][0].reshape(ours.shape),
            atol=1e-5,
            rtol=1e-5,
            msg=partial(operator.add, name),
        )
        compared += 1
    assert compared >= 7
