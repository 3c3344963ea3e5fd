"""Folders of SAEs are read as their formulae say, or refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import engine
from engine.saved.dictionary import Dictionary
from engine.saved.saes import kept_dictionary, saes_folder
from tests.support import sae_folders as by_hand

D, N, K = 8, 24, 5
X = torch.randn(6, D, generator=torch.Generator().manual_seed(3)) * 2


def read(folder: Path, **how: Any) -> Dictionary:
    return kept_dictionary(engine.read_sae(folder, **how))


@pytest.mark.parametrize("kind", by_hand.KINDS)
@pytest.mark.parametrize("centres", [True, False])
def test_every_kind_reads_and_writes_as_its_formula_says(
    tmp_path: Path, kind: str, centres: bool
) -> None:
    t = by_hand.weights(kind, D, N)
    folder = by_hand.write(tmp_path / "one", kind, t, k=K, apply_b_dec_to_input=centres)
    made = read(folder)
    meant = by_hand.features(kind, t, X, K, centres)
    assert (meant > 0).any() and (meant == 0).any()
    torch.testing.assert_close(made.encode(X), meant)
    torch.testing.assert_close(made(X), by_hand.decoded(t, meant))
    sae = engine.read_sae(folder)
    assert str(sae.site) == "r2" and engine.Sae.parse(str(sae)) == sae
    shape = engine.sae_shape(sae)
    assert (shape.d_in, shape.d_sae, shape.k) == (D, N, K if kind == "topk" else 0)
    engine.save_sae(sae, tmp_path / "again")
    torch.testing.assert_close(read(tmp_path / "again").encode(X), meant)
    assert str(engine.read_sae(tmp_path / "again").site) == "r2"


@pytest.mark.parametrize("norm", ["constant_norm_rescale", "layer_norm"])
def test_activations_are_normalized_in_and_out_as_the_config_asks(
    tmp_path: Path, norm: str
) -> None:
    t = by_hand.weights("standard", D, N)
    made = read(by_hand.write(tmp_path / "one", "standard", t, normalize_activations=norm))
    if norm == "layer_norm":
        mean = X.mean(-1, keepdim=True)
        std = (X - mean).std(-1, keepdim=True)
        f = by_hand.features("standard", t, (X - mean) / (std + 1e-5))
        meant = by_hand.decoded(t, f) * std + mean
    else:
        factor = D**0.5 / X.norm(dim=-1, keepdim=True)
        f = by_hand.features("standard", t, X * factor)
        meant = by_hand.decoded(t, f) / factor
    torch.testing.assert_close(made.encode(X), f)
    torch.testing.assert_close(made(X), meant)


def test_older_and_newer_forms_of_a_config_mean_the_same(tmp_path: Path) -> None:
    t = by_hand.weights("topk", D, N)
    meant = by_hand.features("topk", t, X, K)
    old = by_hand.write(
        tmp_path / "old", "standard", t, activation_fn_str="topk", activation_fn_kwargs={"k": K},
        metadata=None, hook_point="blocks.2.hook_resid_pre",
    )  # fmt: skip
    torch.testing.assert_close(read(old).encode(X), meant)
    long = t["W_dec"].norm(dim=-1)
    by_size = by_hand.write(tmp_path / "size", "topk", t, k=K, rescale_acts_by_decoder_norm=True)
    scaled = {**t, "W_enc": t["W_enc"] * long, "b_enc": t["b_enc"] * long}
    f = by_hand.features("topk", scaled, X, K)
    torch.testing.assert_close(read(by_size)(X), f / long @ t["W_dec"] + t["b_dec"])
    batch = {**t, "topk_threshold": torch.tensor(0.7)}
    made = read(by_hand.write(tmp_path / "batch", "batchtopk", batch, k=K))
    h = (X - t["b_dec"]) @ t["W_enc"] + t["b_enc"]
    torch.testing.assert_close(made.encode(X), torch.relu(h) * (h > 0.7))


def test_what_a_config_says_of_others_changes_no_number_as_in_saelens(tmp_path: Path) -> None:
    t = by_hand.weights("jumprelu", D, N)
    meant = by_hand.features("jumprelu", t, X)
    once = by_hand.write(tmp_path / "once", "jumprelu", t, rescale_acts_by_decoder_norm=True)
    torch.testing.assert_close(read(once)(X), by_hand.decoded(t, meant))
    logarithm = {name: one for name, one in t.items() if name != "threshold"}
    logarithm["log_threshold"] = t["threshold"].log()
    older = by_hand.write(tmp_path / "older", "jumprelu", logarithm)
    torch.testing.assert_close(read(older).encode(X), meant)
    ones = {**t, "scaling_factor": torch.ones(N)}
    tuned = by_hand.write(
        tmp_path / "tuned", "jumprelu", ones, finetuning_scaling_factor=True,
        normalize_activations=False, hook_name="blocks.4.hook_mlp_out",
        metadata={"hook_name": None, "hook_head_index": None},
    )  # fmt: skip
    assert str(engine.read_sae(tuned).site) == "m4"
    torch.testing.assert_close(read(tuned).encode(X), meant)
    other = by_hand.write(
        tmp_path / "other", "jumprelu", ones | {"scaling_factor": 2 * ones["b_enc"]}
    )
    with pytest.raises(engine.EngineError, match="finetuned scale, which is not known"):
        engine.read_sae(other)
    batch = {**t, "threshold": torch.full((N,), 0.7), "b_enc": t["b_enc"]}
    named = {name: one for name, one in batch.items() if name != "threshold"}
    named["topk_threshold"] = torch.tensor(0.7, dtype=torch.float64)
    folder = by_hand.write(
        tmp_path / "batch", "matryoshka_batchtopk", named, rescale_acts_by_decoder_norm=True, k=2.5
    )
    long = t["W_dec"].norm(dim=-1)
    scaled = {**batch, "W_enc": t["W_enc"] * long, "b_enc": t["b_enc"] * long}
    f = by_hand.features("jumprelu", scaled, X)
    torch.testing.assert_close(read(folder).encode(X), f)
    torch.testing.assert_close(read(folder)(X), f / long @ t["W_dec"] + t["b_dec"])


@pytest.mark.parametrize("norm", ["none", "constant_norm_rescale", "layer_norm"])
def test_an_sae_of_a_centred_stream_reads_what_is_left_without_its_mean(
    tmp_path: Path, norm: str
) -> None:
    t = by_hand.weights("standard", D, N)
    place: dict[str, Any] = {"hook_name": "blocks.1.hook_resid_post"}
    place["model_from_pretrained_kwargs"] = {"center_writing_weights": True}
    folder = by_hand.write(
        tmp_path / "one", "standard", t, metadata=place, normalize_activations=norm
    )
    y = X + 3
    mean = y.mean(-1, keepdim=True)
    x = y - mean
    u, back = {
        "none": (x, torch.ones(1)),
        "constant_norm_rescale": (
            x * D**0.5 / x.norm(dim=-1, keepdim=True), x.norm(dim=-1, keepdim=True) / D**0.5
        ),
        "layer_norm": (x / (x.std(-1, keepdim=True) + 1e-5), x.std(-1, keepdim=True)),
    }[norm]  # fmt: skip
    f = by_hand.features("standard", t, u)
    made = read(folder)
    torch.testing.assert_close(made.encode(y), f)
    torch.testing.assert_close(made(y), by_hand.decoded(t, f) * back + mean)
    torch.testing.assert_close(made.unit(y), back.expand(len(y), 1))
    sae = engine.read_sae(folder)
    engine.save_sae(sae, tmp_path / "again")
    assert engine.read_sae(tmp_path / "again", sae.name) == sae
    told = json.loads((tmp_path / "again" / "cfg.json").read_text("utf-8"))
    assert told["metadata"].items() >= place.items()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_any_size_are_used_in_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    t = {name: one.to(dtype) for name, one in by_hand.weights("gated", D, N).items()}
    made = read(by_hand.write(tmp_path / "one", "gated", t, dtype=str(dtype)[6:]))
    kept = {name: one.float() for name, one in t.items()}
    torch.testing.assert_close(made(X), by_hand.decoded(kept, by_hand.features("gated", kept, X)))


@pytest.mark.parametrize(
    ("kind", "more", "said"),
    [
        ("standard", "threshold", "threshold, which one of its kind has not"),
        ("standard", "W_skip", "W_skip, which one of its kind has not"),
        ("transcoder", "W_skip", "W_skip, which one of its kind has not"),
    ],
)
def test_weights_that_an_architecture_has_no_use_for_are_refused(
    tmp_path: Path, kind: str, more: str, said: str
) -> None:
    t = by_hand.weights("standard", D, N)
    t[more] = torch.ones(N) if more == "threshold" else torch.eye(D)
    folder = by_hand.write(tmp_path / "x", kind, t)
    with pytest.raises(engine.EngineError, match=said):
        engine.read_sae(folder, site="m1")


def test_an_sae_of_heads_outputs_is_refused_whatever_site_is_asked_for(tmp_path: Path) -> None:
    t, place = by_hand.weights("standard", D, N), {"hook_name": "blocks.1.attn.hook_z"}
    folder = by_hand.write(tmp_path / "x", "standard", t, metadata=place)
    with pytest.raises(engine.EngineError, match="hook_z"):
        engine.read_sae(folder, site="r2")


def sparsify(folder: Path, transcode: bool, skip: bool = False) -> dict[str, torch.Tensor]:
    t = by_hand.weights("topk", D, N)
    stored = {
        "encoder.weight": t["W_enc"].T.contiguous(), "encoder.bias": t["b_enc"],
        "W_dec": t["W_dec"], "b_dec": t["b_dec"],
    }  # fmt: skip
    if skip:
        stored["W_skip"] = torch.randn(D, D, generator=torch.Generator().manual_seed(9))
    folder.mkdir(parents=True)
    save_file(stored, folder / "sae.safetensors")
    told = {"d_in": D, "k": K, "transcode": transcode, "expansion_factor": 3, "num_latents": 0}
    (folder / "cfg.json").write_text(json.dumps(told), "utf-8")
    return t | ({"W_skip": stored["W_skip"]} if skip else {})


def test_sparsifys_folders_are_read_and_their_name_is_the_place(tmp_path: Path) -> None:
    t = sparsify(tmp_path / "layers.4", transcode=False)
    sae = engine.read_sae(tmp_path / "layers.4")
    assert str(sae.site) == "r5" and sae.name == "layers-4"
    meant = by_hand.features("topk", t, X, K)
    torch.testing.assert_close(kept_dictionary(sae)(X), by_hand.decoded(t, meant))
    t = sparsify(tmp_path / "h.3.mlp", transcode=True, skip=True)
    sae = engine.read_sae(tmp_path / "h.3.mlp")
    assert str(sae.site) == "m3" and engine.sae_shape(sae).transcodes
    f = by_hand.features("topk", t, X, K, centres=False)
    torch.testing.assert_close(kept_dictionary(sae)(X), by_hand.decoded(t, f) + X @ t["W_skip"].T)


def test_transcoders_of_saelens_go_from_an_mlps_input_to_its_output(tmp_path: Path) -> None:
    t = by_hand.weights("jumprelu", D, N)
    places = {"hook_name": "blocks.3.mlp.hook_in", "hook_name_out": "blocks.3.hook_mlp_out"}
    folder = by_hand.write(tmp_path / "t", "jumprelu_transcoder", t, d_out=D, metadata=places)
    made, f = read(folder), by_hand.features("jumprelu", t, X, centres=False)
    torch.testing.assert_close(made(X), by_hand.decoded(t, f))
    assert str(engine.read_sae(folder).site) == "m3"
    places["hook_name"] = "blocks.3.ln2.hook_normalized"
    folder = by_hand.write(tmp_path / "u", "jumprelu_transcoder", t, d_out=D, metadata=places)
    with pytest.raises(engine.EngineError, match="give site=“m3”"):
        engine.read_sae(folder)
    assert str(engine.read_sae(folder, site="m3").site) == "m3"


@pytest.mark.parametrize("kind", ["standard", "jumprelu"])
@pytest.mark.parametrize("norm", ["none", "constant_norm_rescale", "layer_norm"])
@pytest.mark.parametrize("skips", [False, True])
def test_transcoders_are_read_by_their_formula_and_written_in_saelens_form(
    tmp_path: Path, kind: str, norm: str, skips: bool
) -> None:
    t = by_hand.weights(kind, D, N)
    if skips:
        t["W_skip"] = torch.randn(D, D, generator=torch.Generator().manual_seed(9))
    folder = by_hand.write_transcoder(tmp_path / "t", kind, t, normalize_activations=norm)
    u = {
        "none": X,
        "constant_norm_rescale": X * D**0.5 / X.norm(dim=-1, keepdim=True),
        "layer_norm": (X - X.mean(-1, keepdim=True)) / (X.std(-1, keepdim=True) + 1e-5),
    }[norm]
    f = by_hand.features(kind, t, u, centres=False)
    meant = by_hand.decoded(t, f) + (X @ t["W_skip"].T if skips else 0)
    torch.testing.assert_close(read(folder)(X), meant)
    sae = engine.read_sae(folder)
    engine.save_sae(sae, tmp_path / "again")
    assert engine.read_sae(tmp_path / "again", sae.name) == sae
    written, own = (
        json.loads((each / "cfg.json").read_text("utf-8")) for each in (tmp_path / "again", folder)
    )
    assert written["metadata"].items() >= own["metadata"].items()
    assert {**own, "metadata": 0, "dtype": "float32"}.items() <= {**written, "metadata": 0}.items()


def test_what_has_no_form_of_saelens_is_not_written_in_it(tmp_path: Path) -> None:
    sparsify(tmp_path / "h.3.mlp", transcode=True, skip=True)
    with pytest.raises(engine.EngineError, match="no topk transcoder with a skip connection"):
        engine.save_sae(engine.read_sae(tmp_path / "h.3.mlp"), tmp_path / "again")
    sparsify(tmp_path / "layers.4", transcode=False, skip=True)
    with pytest.raises(engine.EngineError, match="no topk SAE with a skip connection"):
        engine.save_sae(engine.read_sae(tmp_path / "layers.4"), tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architecture": "crosscoder"}, "architecture is “crosscoder”"),
        (
            {"architecture": "jumprelu", "activation_fn_str": "topk"},
            "it is jumprelu and chooses by topk at once",
        ),
        (
            {"normalize_activations": "expected_average_only_in"},
            "normalized as 'expected_average_only_in'.*fold_activation_norm_scaling_factor",
        ),
        ({"normalize_activations": True}, "normalized as 'expected_average_only_in'"),
        ({"normalize_activations": "covariance_whitening"}, "a matrix.*fold_activation_whitening"),
        ({"normalize_activations": "unit"}, "normalized as 'unit', which is not known"),
        ({"architecture": "abstopk"}, "“abstopk”.*read are standard, jumprelu, topk"),
        ({"architecture": "temporal"}, "“temporal”.*read are"),
        ({"reshape_activations": "hook_z"}, "side by side"),
        ({"metadata": {"hook_name": "blocks.1.attn.hook_q", "hook_head_index": 3}}, "one head, 3"),
        ({"metadata": None, "hook_point_head_index": 0}, "one head, 0"),
        ({"architecture": "transcoder", "apply_b_dec_to_input": True}, "apply_b_dec_to_input"),
        (
            {
                "architecture": "transcoder",
                "apply_b_dec_to_input": False,
                "metadata": {
                    "hook_name": "blocks.3.mlp.hook_in",
                    "hook_name_out": "blocks.3.hook_mlp_out",
                    "model_from_pretrained_kwargs": {"fold_ln": True},
                },
            },
            "fold_ln",
        ),
        (
            {
                "architecture": "skip_transcoder",
                "apply_b_dec_to_input": False,
                "metadata": {
                    "hook_name": "blocks.3.mlp.hook_in",
                    "hook_name_out": "blocks.3.hook_mlp_out",
                },
            },
            "W_skip are missing",
        ),
        ({"activation_fn_str": "tanh-relu"}, "activation function"),
        ({"finetuning_scaling_factor": True}, "finetuned scale"),
        ({"d_in": 9}, "says d_in is 9"),
        ({"metadata": {"hook_name": "blocks.1.attn.hook_z"}}, "hook_z"),
        ({"metadata": {"hook_name": "nowhere"}}, "no site here"),
        ({"metadata": {}}, "give `site`"),
        ({"architecture": "topk", "k": None}, "no whole number"),
        ({"architecture": "topk", "k": 99}, "keeps 99"),
        ({"architecture": "batchtopk"}, "batch-top-k"),
        ({"architecture": "gated"}, "b_gate, b_mag, r_mag are missing"),
    ],
)
def test_what_a_config_says_that_is_not_known_is_refused(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    folder = by_hand.write(tmp_path / "x", "standard", by_hand.weights("standard", D, N), **change)
    with pytest.raises(engine.EngineError, match=said):
        engine.read_sae(folder)


def test_folders_that_are_none_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    def refused(said: str, folder: Path = tmp_path / "x") -> None:
        with pytest.raises(engine.EngineError, match=said):
            engine.read_sae(folder)

    refused("no folder", tmp_path / "nothing")
    refused("Neuronpedia's name for an SAE of r6 of gpt2-small", Path("gpt2-small/6-res-jb"))
    folder = by_hand.write(tmp_path / "x", "standard", by_hand.weights("standard", D, N))
    weights = folder / "sae_weights.safetensors"
    whole = load_file(weights)
    for name, value, said in (
        ("b_dec", torch.full((D,), float("nan")), "infinity or NaN"),
        ("b_enc", torch.zeros(N - 1), "b_enc is"),
        ("other", torch.zeros(2), "“other”, which is not known"),
        ("b_dec", torch.zeros(D, dtype=torch.int64), "not of real numbers"),
    ):
        save_file({**whole, name: value}, weights)
        refused(said)
    weights.write_bytes(weights.read_bytes()[:300])
    refused("damaged")
    weights.unlink()
    refused("neither")
    (folder / "cfg.json").write_text("{", "utf-8")
    refused("no JSON")
    (folder / "cfg.json").unlink()
    refused("no cfg.json")


def test_what_is_kept_is_known_by_what_it_holds(tmp_path: Path) -> None:
    t = by_hand.weights("standard", D, N)
    one = engine.read_sae(by_hand.write(tmp_path / "a", "standard", t))
    same = engine.read_sae(by_hand.write(tmp_path / "b", "standard", t))
    other = engine.read_sae(by_hand.write(tmp_path / "c", "standard", {**t, "b_dec": -t["b_dec"]}))
    used = engine.read_sae(by_hand.write(tmp_path / "d", "standard", t, apply_b_dec_to_input=False))
    assert one.digest == same.digest and len({one.digest, other.digest, used.digest}) == 3
    (file,) = saes_folder().glob(f"{one.digest}*")
    file.write_bytes(file.read_bytes()[:-4] + b"\1\2\3\4")
    with pytest.raises(engine.EngineError, match="damaged"):
        engine.sae_shape(one)
    file.unlink()
    with pytest.raises(engine.EngineError, match="not read on this machine"):
        engine.sae_shape(one)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("gpt2-small/6-res-jb", ("gpt2-small", 6, "res-jb", "r6", None)),
        ("gemma-2-2b@20-gemmascope-res-16k", ("gemma-2-2b", 20, "gemmascope-res-16k", "r21", None)),
        ("gpt2-small/5-mlp-oai/77", ("gpt2-small", 5, "mlp-oai", "m5", 77)),
        ("gpt2-small/5-att-kk", ("gpt2-small", 5, "att-kk", "", None)),
    ],
)
def test_neuronpedias_names_are_a_model_a_place_and_a_feature(text: str, told: tuple) -> None:
    name = engine.neuronpedia_name(text)
    assert (name.model, name.layer, name.release, name.site, name.feature) == told
    with pytest.raises(engine.EngineError, match="no name of Neuronpedia's"):
        engine.neuronpedia_name(text.replace("-", "_").replace("@", " ").replace("/", " "))


def test_saes_and_features_are_written_and_read_back() -> None:
    e = engine.Experiment(
        "seq-gpt2", "1 2", changes="zero f3.1-3\nscale(2) f6.9", saes=["a@r3", f"b@m5:{'0' * 64}"]
    )
    assert engine.Experiment.from_url(e.to_url()) == e
    assert engine.Experiment.from_json(e.to_json()) == e
    assert eval(e.to_python(), {"engine": engine}) == e
    assert e.saes[1].feature(7) == engine.Feature(5, 7) and str(e.saes[1].feature(7)) == "f5.7"
    for wrong in ("a", "a@9.1", "a@r3 b", "a@r1-2", "a@r3:12", ["a@r3", "b@m3"], {"a": 1}, 3):
        with pytest.raises(engine.EngineError):
            engine.Experiment(saes=wrong)  # type: ignore[arg-type]
