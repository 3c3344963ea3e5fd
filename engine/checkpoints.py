"""From a model's name to a directory that is safe to load: bundled, local, or from the hub.

Only safetensors are read, and no code that comes with a model is ever run.
"""

from __future__ import annotations

import contextlib
import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import ModelError

BUNDLED = Path(__file__).resolve().parent.parent / "assets" / "models"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_WANTED: dict[str, Any] = {
    "allow_patterns": ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"],
    "ignore_patterns": ["consolidated*", "original/*", "onnx/*"],
}
_TOKENIZER: dict[str, Any] = {
    "allow_patterns": [
        "tokenizer*", "*.model", "vocab*", "merges.txt", "special_tokens_map.json",
        "added_tokens.json", "config.json",
    ],
}  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """A model's files on this machine, looked at but not yet loaded.

    `n_parameters` counts the numbers stored; `stored_dtype` is that of most of them.
    """

    name: str
    directory: Path
    config: dict[str, Any]
    n_parameters: int
    stored_dtype: str

    @property
    def architecture(self) -> str:
        """The class that reads it, as in `GPT2LMHeadModel`."""
        named = self.config.get("architectures")
        if isinstance(named, list) and named and isinstance(named[0], str):
            return named[0]
        return str(self.config["model_type"])

    @property
    def about(self) -> str:
        """One sentence for a picker: what the card says, or the architecture and size."""
        card = self.directory / "card.json"
        with contextlib.suppress(ModelError):  # a card that cannot be read says nothing
            told = _read_json(card).get("about") if card.is_file() else None
            if isinstance(told, str):
                return told
        return f"{self.architecture}, {self.n_parameters / 1e6:,.1f}M parameters"


def bundled_names() -> tuple[str, ...]:
    """The models that ship with the project, in order of name."""
    if not BUNDLED.is_dir():
        return ()
    return tuple(sorted(d.name for d in BUNDLED.iterdir() if (d / "config.json").is_file()))


def find_checkpoint(name: str) -> Checkpoint:
    """Find a model by bundled name, directory or hub name, and check that it may be loaded.

    Raises: ModelError saying what is wrong with the name or the directory, and what would do.
    """
    if not name.strip():
        raise ModelError(f"No model is named. Bundled ones are {', '.join(bundled_names())}.")
    directory = _directory(name.strip())
    config = _config(name, directory)
    weights = _weights(directory)
    if not weights:
        pickles = sorted(p.name for p in directory.glob("*") if p.suffix in (".bin", ".pt", ".pth"))
        if pickles:
            raise ModelError(
                f"“{name}” stores its weights as a pickle ({pickles[0]}), which can run any code "
                "when opened. Save it again as safetensors: "
                "model.save_pretrained(directory, safe_serialization=True)."
            )
        raise ModelError(f"“{name}” has a config.json but no *.safetensors with weights in it.")
    sizes: dict[str, int] = {}
    for path in weights:
        for dtype, count in _tensors(path):
            sizes[dtype] = sizes.get(dtype, 0) + count
    if not sizes:
        raise ModelError(f"The safetensors of “{name}” hold no weights.")
    most = max(sizes, key=lambda dtype: sizes[dtype])
    return Checkpoint(name.strip(), directory, config, sum(sizes.values()), most)


def find_tokenizer_directory(name: str) -> Path:
    """Find where a tokenizer lies, by the name of its model or directory; no weights are wanted.

    Raises: ModelError saying what is wrong with the name.
    """
    if not name.strip():
        raise ModelError(f"No tokenizer is named. Bundled ones are {', '.join(bundled_names())}.")
    return _directory(name.strip(), _TOKENIZER, "tokenizer*")


def _weights(directory: Path) -> list[Path]:
    """The files transformers reads: those of the index, the one file, or all there are."""
    index = directory / "model.safetensors.index.json"
    if index.is_file():
        named = _read_json(index).get("weight_map")
        if not isinstance(named, dict):
            raise ModelError(f"“{index.name}” names no weights.")
        return sorted(directory / Path(str(n)).name for n in {*map(str, named.values())})
    one = directory / "model.safetensors"
    return [one] if one.is_file() else sorted(directory.glob("*.safetensors"))


def _directory(name: str, wanted: dict[str, Any] = _WANTED, sign: str = "*.safetensors") -> Path:
    if name in bundled_names():
        return BUNDLED / name
    try:
        local = Path(name).expanduser()
        if local.is_dir():
            return local
    except (OSError, ValueError, RuntimeError):
        raise ModelError(f"“{name[:80]}” is no name of a model.") from None
    if not _HUB_NAME.fullmatch(name):
        raise ModelError(
            f"There is no directory “{name[:200]}” on this machine, and it is no hub name such as "
            f"gpt2. Bundled models are {', '.join(bundled_names())}."
        )
    return _from_hub(name, wanted, sign)


def _from_hub(name: str, wanted: dict[str, Any], sign: str) -> Path:
    """What is cached, where it holds a file of that sign; else what the hub gives."""
    from huggingface_hub import snapshot_download

    try:
        cached = Path(snapshot_download(name, **wanted, local_files_only=True))
        if any(cached.glob(sign)):
            return cached
    except Exception:
        cached = None  # not in the cache: ask the hub
    try:
        return Path(snapshot_download(name, **wanted, etag_timeout=5))
    except Exception as wrong:
        raise ModelError(
            f"“{name}” is not bundled ({', '.join(bundled_names())}), is no directory here, is not "
            f"in the Hugging Face cache, and the hub did not give it ({type(wrong).__name__}). "
            "Check the name and the network, or give a directory."
        ) from wrong


def _config(name: str, directory: Path) -> dict[str, Any]:
    path = directory / "config.json"
    if not path.is_file():
        raise ModelError(
            f"“{name}” is a directory without a config.json, so it is no Hugging Face model. Give "
            "the directory that save_pretrained wrote."
        )
    config = _read_json(path)
    if "auto_map" in config:
        raise ModelError(
            f"“{name}” can only be read by Python code that comes with it, which is never run "
            "here. Use a checkpoint of an architecture that transformers has itself."
        )
    if not isinstance(config.get("model_type"), str) or not config["model_type"]:
        raise ModelError(f"The config.json of “{name}” names no model_type.")
    return config


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as wrong:
        raise ModelError(f"“{path}” cannot be read as JSON ({type(wrong).__name__}).") from wrong
    if not isinstance(found, dict):
        raise ModelError(f"“{path}” holds no JSON object.")
    return found


def _tensors(path: Path) -> list[tuple[str, int]]:
    """(dtype, number of elements) of each tensor, from the header alone."""
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > 100_000_000:
                raise ValueError("header too long")
            header = json.loads(file.read(length))
        return [
            (str(t["dtype"]), _product(t["shape"]))
            for n, t in header.items()
            if n != "__metadata__"
        ]
    except (
        OSError, ValueError, struct.error, KeyError, TypeError, AttributeError, ArithmeticError,
        RecursionError,
    ) as wrong:  # fmt: skip
        raise ModelError(f"“{path.name}” is damaged or no safetensors file.") from wrong


def _product(shape: list[int]) -> int:
    n = 1
    for size in shape:
        if not 0 <= int(size) < 2**48:
            raise ValueError(f"a size of {size}")
        n *= int(size)
    return n
