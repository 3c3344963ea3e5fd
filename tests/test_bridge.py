"""What the engine relies on of TransformerLens, pinned."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from engine import registry
from engine.experiment.sites import Shape
from tests.tiny_models import CONFIGS, HEADS, LAYERS

IDS = [[1, 5, 9, 30, 7, 12]]


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_bridges_forward_is_the_hugging_face_models(kind, tiny):
    directory = str(tiny(kind))
    loaded = registry.load(directory)
    plain = AutoModelForCausalLM.from_pretrained(directory, attn_implementation="eager").eval()
    ours = loaded.worker.run(lambda: loaded(torch.tensor(IDS)))
    torch.testing.assert_close(ours, plain(torch.tensor(IDS)).logits.detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_hook_points_fire_with_the_axes_of_transformer_lens(kind, tiny):
    loaded = registry.load(str(tiny(kind)))
    shape: Shape = loaded.shape
    assert (shape.n_layers, shape.n_heads) == (LAYERS, HEADS)
    n = len(IDS[0])
    wanted = {
        "resid_pre": (1, n, shape.d_model),
        "resid_post": (1, n, shape.d_model),
        "mlp_out": (1, n, shape.d_model),
        "z": (1, n, HEADS, shape.d_head),
        "pattern": (1, HEADS, n, n),
        "attn_scores": (1, HEADS, n, n),
    }
    if shape.d_mlp is not None:
        wanted["post"] = (1, n, shape.d_mlp)
    for name, axes in wanted.items():
        seen = []

        def run(name=name, seen=seen):
            with loaded.hooked(name, 1, lambda x: seen.append(tuple(x.shape))):
                loaded(torch.tensor(IDS))

        loaded.worker.run(run)
        assert seen == [axes], name


def test_the_bridge_gets_a_tokenizer_of_its_own(tiny):
    loaded = registry.load(str(tiny("gpt2")))
    assert loaded._bridge.tokenizer is not loaded.tokenizer.hf
    assert not any(m.compatibility_mode for m in loaded.blocks)
