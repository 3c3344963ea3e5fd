"""Neurons' effects, tokens and contexts equal what plain hooks on Hugging Face's model say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

import engine
from tests.support.reference import Change, Reference
from tests.support.tiny_models import Tiny

FAMILIES = ("gpt2", "llama", "gemma2", "olmo2", "gptj", "phi3")
"""Gated and not, norms before, behind and shared with attention."""
PROMPT, CORRUPTED, ANSWER, DISTRACTOR = "t4 t5 t6 t7", "t9 t5 t8 t7", " t8", " t3"
A, D = 11, 6
"""The ids of answer and distractor: words stand behind three special tokens."""
E = engine.Experiment("seq-gpt2", "1 2 3 4", "8 1 6 3", " 5", " 4")


def experiment(directory: object, **more: object) -> engine.Experiment:
    return engine.Experiment(
        str(directory),
        PROMPT,
        CORRUPTED,
        ANSWER,
        DISTRACTOR,
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", ["zero", "resample", "mean", "set(1.5)"])
def test_every_exact_effect_is_that_of_plain_hooks(tiny: Tiny, family: str, method: str) -> None:
    directory = tiny(family)
    e = experiment(directory, method=method, ablations="1.2")
    ranked = engine.rank_neurons(e, exact=12)
    reference, ids = Reference(directory), engine.tokenize(e.model, e.prompt).ids
    other = engine.tokenize(e.model, e.corrupted).ids
    assert ranked.done and ranked.n_exact == 12 and ranked.n_neurons == 3 * reference.d_mlp

    def become(kind: str, layer: int, index: int) -> Change:
        value = {"zero": 0.0, "set(1.5)": 1.5}.get(method)
        where = tuple(range(len(ids)))
        if value is not None:
            return Change(kind, layer, index, where, lambda old: torch.full_like(old, value))
        seen = reference.value(kind, layer, index, other)
        new = seen if method == "resample" else seen.mean(0, keepdim=True).expand_as(seen)
        return Change(kind, layer, index, where, lambda _: new)

    def diff(*changes: Change) -> float:
        last = reference.logits(ids, changes)[-1]
        return float(last[A] - last[D])

    given = become("head", 1, 2)
    assert ranked.given[0] == pytest.approx(diff(given), abs=1e-4)
    assert ranked.clean[0] == pytest.approx(diff(), abs=1e-4)
    for neuron, effect in zip(ranked.neurons, ranked.effects, strict=True):
        alone = diff(become("neuron", neuron.layer, neuron.index), given) - diff(given)
        assert effect == pytest.approx(alone, abs=1e-4)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2"])
def test_estimates_are_the_gradients_of_plain_autograd(tiny: Tiny, family: str) -> None:
    directory = tiny(family)
    e = experiment(directory, positions="2-4")
    ranked = engine.rank_neurons(e, exact=0)
    reference, ids = Reference(directory), engine.tokenize(e.model, e.prompt).ids
    seen: dict[int, Tensor] = {}
    handles = []
    for layer in range(3):

        def keep(_m: object, args: tuple[Tensor, ...], layer: int = layer) -> None:
            args[0].retain_grad()
            seen[layer] = args[0]

        last = reference.layers[layer].get_submodule(reference._last)
        handles.append(last.register_forward_pre_hook(keep))
    last = reference.hf(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
    (last[A] - last[D]).backward()
    for handle in handles:
        handle.remove()
    for layer, post in seen.items():
        assert post.grad is not None
        meant = (-post * post.grad).detach()[0, 2:5].sum(0)
        np.testing.assert_allclose(ranked.estimate[layer], meant, atol=2e-5)


def test_over_pairs_it_is_the_mean_with_its_spread_and_one_layer_is_a_part_of_all() -> None:
    pairs = engine.task("numerals", "seq-gpt2", n=3, seed=0).pairs
    whole = engine.rank_neurons(E, pairs, exact=4)
    each = [
        engine.rank_neurons(
            replace(E, prompt=p.prompt, corrupted=p.corrupted, answer=p.answer,
                    distractor=p.distractor), exact=0
        ).estimate for p in pairs
    ]  # fmt: skip
    np.testing.assert_allclose(whole.estimate, np.mean(each, 0), atol=1e-4)
    np.testing.assert_allclose(whole.spread, np.std(each, 0), atol=1e-4)
    one = engine.rank_neurons(E, pairs, layer=4, exact=2)
    np.testing.assert_allclose(one.estimate[0], whole.estimate[4], atol=1e-5)
    assert all(neuron.layer == 4 for neuron in one.neurons)
    rows = whole.table(6)
    sizes = [abs(float(str(row["exact"]))) for row in rows[:4]]
    assert sizes == sorted(sizes, reverse=True) and rows[4]["exact"] == ""
    assert whole.agreement.n == 4 and whole.agreement.pearson > 0.9


def test_a_neuron_that_is_off_already_does_nothing_more() -> None:
    first = engine.rank_neurons(E, exact=1).neurons[0]
    e = replace(E, ablations=str(first))
    again = engine.rank_neurons(e, layer=first.layer, exact=768)
    assert first in again.neurons and again.estimated(first) == 0
    assert again.effects[again.neurons.index(first)] == 0
    ablated = engine.next_token(e).ablated_logit_diff
    assert again.given[0] == pytest.approx(ablated, abs=1e-4)


def test_it_goes_on_from_what_is_known() -> None:
    question = engine.RankNeurons(E, exact=6)
    whole = engine.begin(question).result()
    part = whole.exact.copy()
    part[:, 2:] = np.nan
    part[:, :2] += 1000.0  # told from what is measured anew
    known = replace(whole, exact=part, progress=0.5)
    gone_on = engine.begin(question, so_far=known).result()
    np.testing.assert_allclose(gone_on.exact[:, 2:], whole.exact[:, 2:], atol=1e-5)
    assert (gone_on.exact[:, :2] > 900).all()
    with pytest.raises(engine.EngineError, match="another ranking"):
        engine.begin(engine.RankNeurons(E, exact=5), so_far=known).result()


def rms(x: Tensor) -> Tensor:
    return x / x.pow(2).mean(-1, keepdim=True).sqrt()


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "olmo2", "gptj"])
def test_what_a_neuron_says_and_reads_is_what_hugging_faces_modules_make(
    tiny: Tiny, family: str
) -> None:
    directory = tiny(family)
    result = engine.neuron_tokens(str(directory), "n1.7", k=64)
    reference = Reference(directory)
    hf, layer = reference.hf, reference.layers[1]
    unit = torch.ones(32)
    unit[1::2] = -1

    def gain(norm: torch.nn.Module) -> Tensor:  # of a norm on a vector of size 1
        weight = (norm(unit) - norm(-unit)) / 2 / unit
        return weight.detach()

    last = layer.get_submodule(reference._last)
    weight = last.weight.detach()
    own = weight[7] if type(last).__name__ == "Conv1D" else weight[:, 7]
    if family in ("gemma2", "olmo2"):
        own = own * gain(layer.post_feedforward_layernorm)
    decoder = hf.get_decoder()
    norm = decoder.ln_f if family in ("gpt2", "gptj") else decoder.norm
    centred = own - own.mean() if family in ("gpt2", "gptj") else own
    logits = (hf.lm_head.weight @ (centred * gain(norm))).detach()
    logits = logits - logits.mean()
    says = dict(zip(result.promotes.top_ids, result.promotes.top, strict=True))
    np.testing.assert_allclose([says[i] for i in range(64)], logits, atol=1e-4)
    assert list(result.promotes.top) == sorted(result.promotes.top, reverse=True)

    embed = hf.get_input_embeddings().weight.detach()
    before = {"gpt2": "ln_2", "gptj": "ln_1", "llama": "post_attention_layernorm",
              "gemma2": "pre_feedforward_layernorm", "olmo2": None}[family]  # fmt: skip
    read = embed if before is None else layer.get_submodule(before)(embed)
    modules = {"gpt2": {"in": "mlp.c_fc"}, "gptj": {"in": "mlp.fc_in"}}.get(
        family, {"in": "mlp.up_proj", "gate": "mlp.gate_proj"}
    )
    assert set(result.reads) == set(modules)
    for name, path in modules.items():
        meant = layer.get_submodule(path)(read)[:, 7].detach()
        one = dict(zip(result.reads[name].top_ids, result.reads[name].top, strict=True))
        np.testing.assert_allclose([one[i] for i in range(64)], meant, atol=1e-4)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gptj"])
def test_contexts_and_quantiles_are_of_plain_hooks(tiny: Tiny, family: str) -> None:
    directory = tiny(family)
    texts = ("t1 t2 t3 t4 t5 t6 t7 t8", "t9 t8 t7")
    result = engine.neuron_contexts(str(directory), "n2.5", texts, window=4, k=9)
    reference, values = Reference(directory), []
    best = []
    for text, words in enumerate(texts):
        ids = engine.tokenize(str(directory), words).ids
        for start in range(1, len(ids), 3):
            part = (ids[0], *ids[start : start + 3])
            seen = reference.value("neuron", 2, 5, part)[1:, 0]
            values += seen.tolist()
            best.append((float(seen.max()), text, 1 + int(seen.argmax())))
    np.testing.assert_allclose(result.activations, sorted(values), atol=1e-5)
    np.testing.assert_allclose(result.quantiles, np.quantile(values, engine.QUANTILES), atol=1e-5)
    told = [(c.activation, c.text, c.position) for c in result.contexts]
    for one, other in zip(told, sorted(best, reverse=True), strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    assert result.n_tokens == 11 and result.n_windows == 4
    assert result.contexts[0].around[result.contexts[0].at] == result.contexts[0].token


def test_contexts_go_on_where_they_were_stopped() -> None:
    texts = tuple(f"{i} {i + 1} {i + 2}" for i in range(1, 30))
    asked = engine.FindContexts("seq-gpt2", engine.Neuron(4, 516), texts, window=2)
    whole = engine.begin(asked).result()
    parts = tuple(one if i % 3 else one[:0] for i, one in enumerate(whole.values))
    so_far = replace(whole, values=parts, progress=0.6)
    on = engine.begin(asked, so_far=so_far).result()
    assert on.progress == 1.0 and so_far.n_windows < on.n_windows == whole.n_windows
    assert [c.around for c in on.contexts] == [c.around for c in whole.contexts]
    np.testing.assert_allclose(on.activations, whole.activations, atol=1e-5)
    with pytest.raises(engine.EngineError, match="of something else"):
        engine.begin(replace(asked, k=3), so_far=so_far).result()


def test_forcing_to_a_quantile_is_a_change_like_any_other() -> None:
    result = engine.neuron_contexts("seq-gpt2", "4.516", ["1 2 3 4 5", "23 24 25"])
    change = result.forced(1.0)
    assert str(change) == f"set({result.activations[-1]:.6g}) n4.516"
    forced = engine.activations(replace(E, changes=(change,)), "post").ablated["post", 4]
    np.testing.assert_allclose(forced[:, 516], result.activations[-1], rtol=1e-5)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (lambda: engine.rank_neurons(E, layer=9), "There is no layer 9"),
        (lambda: engine.rank_neurons(E, exact=2000), "0 to 1,000 neurons"),
        (lambda: engine.rank_neurons(replace(E, answer="")), "no answer"),
        (lambda: engine.neuron_tokens("seq-gpt2", "m4"), "Name one neuron"),
        (lambda: engine.neuron_tokens("seq-gpt2", "n4.9999"), "There is no neuron"),
        (lambda: engine.neuron_tokens("seq-gpt2", "n9.1"), "9"),
        (lambda: engine.neuron_contexts("seq-gpt2", "4.5", " "), "is empty"),
        (lambda: engine.neuron_contexts("seq-gpt2", "4.5", "1 2", window=1), "window"),
    ],
)
def test_what_cannot_be_asked_is_said(asked: object, said: str) -> None:
    with pytest.raises(engine.EngineError, match=said):
        asked()  # type: ignore[operator]


def test_models_whose_neurons_have_no_name_are_refused_in_words(tiny: Tiny) -> None:
    e = experiment(tiny("mixtral"))
    for asked in (
        lambda: engine.rank_neurons(e),
        lambda: engine.neuron_tokens(e.model, "n1.1"),
        lambda: engine.neuron_contexts(e.model, "n1.1", "t1 t2"),
    ):
        with pytest.raises(engine.EngineError, match="mixtures of experts"):
            asked()
