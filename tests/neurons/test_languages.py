"""Neurons planted for one of two languages are found, and do what they were planted for."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

import engine
from engine.neurons.selectivity import average_precisions, drawn_like, entropies
from tests.support.tiny_models import VOCAB, save_tokenizer

PLANTED = {"first": ("n0.3", "n1.7", "n1.60"), "second": ("n0.9", "n1.20", "n1.33")}
"""Neurons of a model whose words t0 to t29 are of one language, t30 to t59 of another."""
WIDTH, D_MLP = 32, 64


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model in which they alone see the language, and raise the tokens of their own."""
    directory: Path = tmp_path_factory.mktemp("planted")
    torch.manual_seed(3)
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=VOCAB, n_embd=WIDTH, n_layer=2, n_head=4, n_positions=64,
                   n_inner=D_MLP, bos_token_id=1, eos_token_id=2)
    ).eval()  # fmt: skip
    language = torch.zeros(WIDTH)
    language[0], language[1] = 1.0, -1.0  # of mean 0, as norms take the mean off
    away = torch.eye(WIDTH) - torch.outer(language, language) / 2
    sides = torch.zeros(VOCAB)
    sides[3:33], sides[33:63] = 1.0, -1.0
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.copy_(0.3 * torch.randn_like(parameter))
            elif "ln" not in name:
                parameter.zero_()
        embed = model.transformer.wte.weight
        embed.copy_(embed @ away + 2.0 * sides[:, None] * language)
        model.transformer.wpe.weight.copy_(model.transformer.wpe.weight @ away)
        for layer, block in enumerate(model.transformer.h):
            block.attn.c_attn.weight.copy_(away @ block.attn.c_attn.weight)
            block.attn.c_proj.weight.copy_(block.attn.c_proj.weight @ away)
            block.mlp.c_fc.weight.copy_(away @ block.mlp.c_fc.weight)
            block.mlp.c_proj.weight.copy_(0.1 * block.mlp.c_proj.weight @ away)
            for side, names in zip((1.0, -1.0), PLANTED.values(), strict=True):
                for neuron in (engine.parse_sites(name)[0] for name in names):
                    assert isinstance(neuron, engine.Neuron)
                    if neuron.layer == layer:
                        block.mlp.c_fc.weight[:, neuron.index] = side * language
                        block.mlp.c_proj.weight[neuron.index] = 0.5 * side * language
    model.save_pretrained(directory)
    save_tokenizer(directory)
    return str(directory)


def texts(words: range, seed: int, n: int = 24) -> tuple[str, ...]:
    rng = np.random.default_rng(seed)
    return tuple(" ".join(f"t{i}" for i in rng.choice(words, size=6)) for _ in range(n))


SETS = (
    engine.PromptSet("first", texts(range(30), 0)),
    engine.PromptSet("second", texts(range(30, 60), 1)),
)


@pytest.mark.parametrize("by", ["entropy", "precision"])
def test_planted_neurons_are_found_with_precision_1_and_beat_their_controls(
    planted: str, by: str
) -> None:
    result = engine.language_neurons(planted, SETS, by, share=6 / (2 * D_MLP))
    for name, neurons in zip(result.names, result.neurons, strict=True):
        assert sorted(map(str, neurons)) == sorted(PLANTED[name])
    assert result.done and result.beats_controls.all()
    assert (np.diagonal(result.change) > 0.1).all()
    assert result.n_found_on == result.n_measured_on == (12, 12)
    forced = engine.language_neurons(planted, SETS, by, 6 / (2 * D_MLP), "force", controls=2)
    assert forced.neurons == result.neurons
    assert forced.change[0, 1] > 0.1 > abs(forced.change[0, 0])  # there they are as they were


@pytest.mark.parametrize("by", ["entropy", "precision"])
def test_on_shuffled_sets_nothing_beats_the_control_band(planted: str, by: str) -> None:
    every = np.random.default_rng(5).permutation([*SETS[0].prompts, *SETS[1].prompts]).tolist()
    shuffled = [("first", every[:24]), ("second", every[24:])]
    result = engine.language_neurons(planted, shuffled, by, share=6 / (2 * D_MLP))
    assert not result.beats_controls.any()


def test_shares_losses_and_silenced_losses_are_those_of_plain_hooks(planted: str) -> None:
    result = engine.language_neurons(planted, SETS, share=0.05, controls=1)
    hf = GPT2LMHeadModel.from_pretrained(planted).eval()

    def loss(prompts: tuple[str, ...]) -> float:
        total, n = 0.0, 0
        for text in prompts:
            ids = torch.tensor([engine.tokenize(planted, text).ids])
            with torch.no_grad():
                own = hf(input_ids=ids, labels=ids).loss
            total, n = total + float(own) * (ids.shape[1] - 1), n + ids.shape[1] - 1
        return total / n

    for i, one in enumerate(SETS):
        assert result.clean[i] == pytest.approx(loss(one.measured_on), abs=1e-4)
    assert result.perplexity[0, 0] == pytest.approx(math.exp(result.losses[0, 0]))
    seen: list[torch.Tensor] = []
    last = hf.transformer.h[1].mlp.c_proj
    handle = last.register_forward_pre_hook(lambda _m, args: seen.append(args[0][0, 1:]))
    loss(SETS[0].found_on)
    handle.remove()
    meant = (torch.cat(seen) > 0).float().mean(0)
    np.testing.assert_allclose(result.probability[0, 1], meant, atol=1e-6)
    for layer, block in enumerate(hf.transformer.h):
        index = [n.index for n in result.neurons[1] if n.layer == layer]

        def silence(_m: object, args: tuple[torch.Tensor], index: list[int] = index) -> None:
            args[0][..., index] = 0.0

        block.mlp.c_proj.register_forward_pre_hook(silence)
    for j, one in enumerate(SETS):
        assert result.losses[1, j] == pytest.approx(loss(one.measured_on), abs=1e-4)


def test_scores_are_what_their_formulae_say() -> None:
    shares = np.array([[0.5, 0.0, 0.3, 0.0], [0.5, 0.2, 0.1, 0.0]])
    meant = [math.log(2), 0.0, -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)), math.log(2)]
    np.testing.assert_allclose(entropies(shares), meant)
    own = np.array([True, True, False, False])
    means = np.array([[4.0, 1.0, 2.0, 3.0], [3.0, 1.0, 2.0, 1.0], [2.0, 1.0, 2.0, 2.0],
                      [1.0, 1.0, 1.0, 4.0]])  # fmt: skip
    np.testing.assert_allclose(average_precisions(means, own), [1, 0.5, 2 / 3, 0.5])


def test_controls_are_of_the_same_layers_and_none_of_those_found() -> None:
    found = [1, 2, 70, 71, 72]
    drawn = drawn_like(found, [*found, 3], 64, 2, np.random.default_rng(0))
    assert sorted(i // 64 for i in drawn) == [0, 0, 1, 1, 1] and not {*found, 3} & {*drawn}


def test_the_sets_that_ship_are_as_long_and_found_by_name() -> None:
    english, spanish = engine.prompt_set("english"), engine.prompt_set("spanish")
    assert len(english.prompts) == len(spanish.prompts) == 40
    question = engine.FindLanguageNeurons("seq-gpt2", (english, spanish))
    assert question.sets == (english, spanish) and "prompt_set('english')" in question.to_python()


@pytest.mark.parametrize(
    ("sets", "options", "said"),
    [
        (["english"], {}, "two sets"),
        (["english", "english"], {}, "one name"),
        (["english", "latin"], {}, "There are the sets"),
        (["english", ("own", ["a"])], {}, "1 prompts"),
        (["english", "spanish"], {"by": "magic"}, "entropy, precision"),
        (["english", "spanish"], {"share": 0.9}, "up to 0.5"),
        (["english", "spanish"], {"controls": 0}, "1 to 100"),
        (["english", ("own", ["1", "2 3"])], {}, "one token"),
    ],
)
def test_what_cannot_be_asked_is_said(sets: list, options: dict, said: str) -> None:
    with pytest.raises(engine.EngineError, match=said):
        engine.language_neurons("seq-gpt2", sets, **options)


def test_losses_go_on_where_they_were_stopped(planted: str) -> None:
    asked = engine.FindLanguageNeurons(planted, SETS, share=0.05, does="force", controls=3)
    whole = engine.begin(asked).result()
    losses, controls = whole.losses.copy(), whole.controls.copy()
    losses[1], controls[1:] = np.nan, np.nan
    so_far = replace(whole, losses=losses, controls=controls, progress=0.4)
    on = engine.begin(asked, so_far=so_far).result()
    np.testing.assert_allclose(on.losses, whole.losses, atol=1e-5)
    np.testing.assert_allclose(on.controls, whole.controls, atol=1e-5)
    assert on.done and (on.losses[0] == whole.losses[0]).all()
    with pytest.raises(engine.EngineError, match="of other sets"):
        engine.begin(replace(asked, seed=1), so_far=so_far).result()
