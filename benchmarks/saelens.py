"""SAEs and transcoders read from SAELens' folders, beside SAELens' own code where there is a Python
that has it (`make rivals`, or the Python that SAELENS_PYTHON names): the same weights and
activations, in float32.

SAELens writes folders of every architecture, normalization and age, with random weights; what it
says of them itself is compared with what `engine.read_sae` makes of them. What could be read is
written anew as `engine.save_sae` does, and SAELens reads that. No speed is measured.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from engine.errors import EngineError
from engine.experiment.sae import Sae
from engine.features.files import write_folder
from engine.saved.dictionary import Dictionary
from engine.saved.sae_folders import read_folder

_CHILD = Path(__file__).with_name("saelens_folders.py")
Told = dict[str, Any]


def measure() -> None:
    """Print how far ours and SAELens' are apart, in either direction, and what either refuses."""
    python = Path(os.environ.get("SAELENS_PYTHON", ".rivals-saelens/bin/python"))
    if not python.exists():
        print("SAELens: not measured, it is not there; `make rivals` makes its environment")
        return
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        theirs, ours = Path(first), Path(second)
        version, written = _told(python, "write", theirs)
        given = load_file(theirs / "given.safetensors")["x"]
        (ours / "given.safetensors").write_bytes((theirs / "given.safetensors").read_bytes())
        off, refused = _read(written, theirs, ours, given)
        print(f"SAELens {version}, {len(written)} folders, {len(given)} random activations of "
              f"{given.shape[1]} numbers; ours are off, of its own numbers' norm, by at "
              "most:")  # fmt: skip
        _, again = _told(python, "read", ours)
        back = {one["folder"]: _back(one, theirs, ours) for one in again}
        for architecture, each in off.items():
            apart = torch.tensor([*each.values()]).amax(0).tolist()
            print(f"  {architecture}, {len(each)} folders: encode {apart[0]:.1e}, decode "
                  f"{apart[1]:.1e}, the whole {apart[2]:.1e}; "
                  + _written_anew([back[name] for name in each if name in back]))  # fmt: skip
        for (who, why), n in refused.items():
            print(f"  {who}, {n}: {why}")


def _told(python: Path, what: str, folder: Path) -> tuple[str, list[Told]]:
    """SAELens' version and what it says of each folder."""
    command = [str(python), "-P", str(_CHILD), what, str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    version, *lines = done.stdout.splitlines() or [""]
    if done.returncode or not lines:
        raise RuntimeError(f"{python} cannot run {_CHILD.name}; make the environment anew.")
    return version, [json.loads(line) for line in lines]


def _read(
    written: list[Told], theirs: Path, ours: Path, given: torch.Tensor
) -> tuple[dict[str, dict[str, list[float]]], Counter[tuple[str, str]]]:
    """How far apart the numbers are, by architecture and folder, and how often who refused one, and
    why; what was read is written anew."""
    off: dict[str, dict[str, list[float]]] = {}
    refused: Counter[tuple[str, str]] = Counter()
    for one in written:
        folder, against = theirs / one["folder"], one["refused"].partition("\n")[0]
        if not folder.exists():
            refused["not written by SAELens", against] += 1
            continue
        try:
            made, why = read_folder(folder), ""
        except EngineError as wrong:
            made, why = None, str(wrong).partition("is not read as an SAE: ")[2]
            why = why.partition("; read are")[0]
        if against:
            who = "SAELens alone" if made is not None else "both"
            refused[f"refused by {who}", f"{one['architecture']}: {against}"] += 1
        elif made is None:
            refused["refused here alone", why] += 1
        else:
            apart = _apart(made, given, load_file(folder / "said.safetensors"))
            off.setdefault(one["architecture"], {})[one["folder"]] = apart
            write_folder(made, Sae("sae", made.site), ours / one["folder"])
    return off, refused


def _apart(made: Dictionary, x: torch.Tensor, said: dict[str, torch.Tensor]) -> list[float]:
    """Of features, of what is decoded and of the whole; SAELens decodes without what a transcoder's
    skip connection adds."""
    features = made.encode(x)
    decoded = made.decode(features, x)
    if made.W_skip is not None:
        decoded = decoded - x @ made.W_skip.T
    each = ((features, "encoded"), (decoded, "decoded"), (made(x), "whole"))
    return [_off(own, said[name]) for own, name in each]


def _off(own: torch.Tensor, said: torch.Tensor) -> float:
    """The greatest difference of a row, of the row's norm."""
    return float(((own - said).norm(dim=-1) / said.norm(dim=-1)).max())


def _back(one: Told, theirs: Path, ours: Path) -> tuple[float, str]:
    """How far what SAELens makes of our folder is from what it made of its own, and where it says
    that is, or what it has against it."""
    if one["refused"]:
        return float("inf"), one["refused"]
    first, then = (load_file(at / one["folder"] / "said.safetensors") for at in (theirs, ours))
    each = [_off(then[name], first[name]) for name in first]
    return float(torch.tensor(each).amax()), one["hook"]


def _written_anew(back: list[tuple[float, str]]) -> str:
    apart = float(torch.tensor([one for one, _ in back]).amax())
    places = ", ".join(sorted({where for _, where in back}))
    return f"written by us and read by SAELens {apart:.1e}, of {places}"
