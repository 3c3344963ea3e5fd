"""SAELens' own code on folders of SAEs: written by it, and read by it.

It is run by the Python of another environment, apart from what lies beside it (`python -P`), and
knows nothing of the engine: `saelens_folders.py write FOLDER` writes a folder of each case, with
random weights in which every term counts, and `saelens_folders.py read FOLDER` loads the folders
there are. Either prints SAELens' version and then a line of JSON a folder: its name, what is
special about it, where SAELens has it from, and what SAELens says against it or "". What SAELens
makes of `given.safetensors` [row d_in], all in float32, lies in each folder's `said.safetensors`:
what `encode`, `decode` and the whole give.
"""

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sae_lens
import torch
from sae_lens import SAE
from sae_lens.registry import get_sae_class, get_sae_training_class
from safetensors.torch import load_file, save_file

D, N, K, ROWS = 48, 160, 9, 64
NORMS = (
    "none", "constant_norm_rescale", "layer_norm", "expected_average_only_in",
    "covariance_whitening",
)  # fmt: skip
FOLDED = NORMS[3:]
TRANSCODERS = tuple(
    f"{jump}{skip}transcoder" for jump in ("", "jumprelu_") for skip in ("", "skip_")
)
TRAINED = ("batchtopk", "matryoshka_batchtopk")
OTHERS: dict[str, dict[str, Any]] = {
    "abstopk": {"k": K},
    "matching_pursuit": {},
    "temporal": {"n_heads": 1, "bottleneck_factor": 2, "kval_topk": K},
}
SCALE = 1.7
Case = tuple[str, str, dict[str, Any]]
"""An architecture; how it is saved: `sae`, `trained` (as it is in training), `for use` (what
training leaves), `folded` (with its normalization in its weights) or `old` (as before version 6);
and its config's fields."""


def cases() -> Iterator[Case]:
    for norm in NORMS:
        for centres in (True, False):
            own = {"normalize_activations": norm, "apply_b_dec_to_input": centres}
            for kind in ("standard", "gated", "jumprelu"):
                yield kind, "sae", own
                yield kind, "trained", own
                if norm in FOLDED:
                    yield kind, "folded", own
            for rescales in (True, False):
                more = {**own, "k": K, "rescale_acts_by_decoder_norm": rescales}
                yield "topk", "sae", more
                yield "topk", "trained", more
                if norm in FOLDED:
                    yield "topk", "folded", more
                for kind in TRAINED:
                    widths = {"matryoshka_widths": [N // 4, N]} if kind != "batchtopk" else {}
                    yield kind, "trained", {**more, **widths, "k": float(K)}
                    yield kind, "for use", {**more, **widths, "k": float(K)}
            for kind in TRANSCODERS:
                yield kind, "sae", {**own, "d_out": D}
    for dtype in ("bfloat16", "float16", "float64"):
        for kind in ("standard", "gated", "jumprelu", "topk", *TRANSCODERS):
            own = {"apply_b_dec_to_input": "transcoder" not in kind, "dtype": dtype}
            more = {"k": K} if kind == "topk" else {"d_out": D} if "transcoder" in kind else {}
            yield kind, "sae", {**own, **more}
    for centres in (True, False):
        for kind in ("standard", "gated", "jumprelu", "topk"):
            more = {"k": K} if kind == "topk" else {}
            yield kind, "old", {"apply_b_dec_to_input": centres, **more}
    for kind in TRANSCODERS:
        yield kind, "sae", {"apply_b_dec_to_input": False, "d_out": D // 2}
    for kind, fields in OTHERS.items():
        yield kind, "sae", fields
    yield "standard", "sae", {"reshape_activations": "hook_z"}


def fill(sae: Any, rng: torch.Generator) -> None:
    for name, one in sae.state_dict().items():
        if not one.is_floating_point():
            continue
        drawn = torch.randn(one.shape, generator=rng)
        size = {"W_enc": D**-0.5, "W_dec": D**-0.5, "W_skip": D**-0.5}.get(name, 0.3)
        drawn = drawn.abs() + 0.2 if "threshold" in name else drawn
        one.copy_(size * drawn)
    if hasattr(sae, "W_dec"):
        sae.W_dec.data *= torch.rand(len(sae.W_dec), 1, generator=rng) + 0.5


def made(case: Case, folder: Path, rng: torch.Generator) -> None:
    """Write a folder. Raises: whatever SAELens has against it."""
    kind, how, own = case
    there = {
        "hook_name": "blocks.3.mlp.hook_in" if "transcoder" in kind else
        "blocks.3.attn.hook_z" if "reshape_activations" in own else "blocks.3.hook_resid_post",
        "hook_name_out": "blocks.3.hook_mlp_out", "model_name": "gpt2",
    }  # fmt: skip
    trained = how in ("trained", "for use")
    sae_class, config_class = (get_sae_training_class if trained else get_sae_class)(kind)
    config = config_class.from_dict(
        {"d_in": D, "d_sae": N, **own, "architecture": kind, "metadata": there}
    )
    sae = sae_class(config)
    with torch.no_grad():
        fill(sae, rng)
    if how == "folded" and own["normalize_activations"] == "covariance_whitening":
        whitens = torch.randn(D, D, generator=rng) / D**0.5 + torch.eye(D)
        mean = 0.3 * torch.randn(D, generator=rng)
        sae.fold_activation_whitening(mean, whitens, torch.linalg.inv(whitens))
    elif how == "folded":
        sae.fold_activation_norm_scaling_factor(SCALE)
    if how == "for use":
        sae.save_inference_model(folder)
    else:
        sae.save_model(folder)
    if how == "old":
        age(folder)


def age(folder: Path) -> None:
    """Write a folder's config and weights as they were before version 6."""
    config = json.loads((folder / "cfg.json").read_text("utf-8"))
    meta = config.pop("metadata")
    old = config | {"model_name": meta["model_name"], "hook_point": meta["hook_name"]}
    old |= {"normalize_activations": False, "finetuning_scaling_factor": True}
    if old["architecture"] in ("standard", "topk"):
        old["activation_fn_str"] = {"standard": "relu", "topk": "topk"}[old.pop("architecture")]
    if "k" in old:
        old["activation_fn_kwargs"] = {"k": old.pop("k")}
    (folder / "cfg.json").write_text(json.dumps(old), "utf-8")
    weights = folder / "sae_weights.safetensors"
    save_file({**load_file(weights), "scaling_factor": torch.ones(N)}, weights)


def loaded(folder: Path) -> Any:
    """What SAELens has for use of a folder, in float32."""
    config = json.loads((folder / "cfg.json").read_text("utf-8"))
    if config.get("architecture") not in TRAINED:
        return SAE.load_from_disk(folder, dtype="float32")
    trained = get_sae_training_class(config["architecture"])[0].load_from_disk(folder)
    use = folder.with_name(folder.name + " for use")
    trained.save_inference_model(use)
    return SAE.load_from_disk(use, dtype="float32")


@torch.no_grad()
def say(folder: Path, x: torch.Tensor) -> str:
    """Write what SAELens makes of activations. Returns: the place it is of."""
    sae = loaded(folder).eval()
    x = x.unflatten(-1, (4, -1)) if sae.hook_z_reshaping_mode else x
    x = x[None] if sae.cfg.architecture() == "temporal" else x
    encoded = sae.encode(x)
    decoded, whole = sae.decode(encoded), sae(x)
    save_file({"encoded": encoded, "decoded": decoded, "whole": whole}, folder / "said.safetensors")
    return str(sae.cfg.metadata.hook_name)


def main(what: str, where: Path) -> None:
    warnings.simplefilter("ignore")
    print(sae_lens.__version__, flush=True)
    todo: list[tuple[Path, Case | None]]
    if what == "write":
        x = 2 * torch.randn(ROWS, D, generator=torch.Generator().manual_seed(0)) + 0.3
        save_file({"x": x}, where / "given.safetensors")
        todo = [(where / f"{i:03}", case) for i, case in enumerate(cases())]
    else:
        x = load_file(where / "given.safetensors")["x"]
        todo = [(path, None) for path in sorted(where.iterdir()) if path.is_dir()]
    for i, (folder, case) in enumerate(todo):
        told: dict[str, Any] = {"folder": folder.name, "hook": "", "refused": ""}
        if case is not None:
            told |= {"architecture": case[0], "saved": case[1], "config": case[2]}
        try:
            if case is not None:
                made(case, folder, torch.Generator().manual_seed(i))
            told["hook"] = say(folder, x)
        except Exception as wrong:
            told["refused"] = str(wrong) or type(wrong).__name__
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
