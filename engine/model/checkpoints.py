"""From a model's name to a directory that is safe to load: bundled, local, or from the hub.

Only safetensors are read, and no code that comes with a model is ever run.
"""

from __future__ import annotations

import contextlib
import json
import re
import struct
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EngineError, ModelError
from . import hub

BUNDLED = Path(__file__).resolve().parents[2] / "assets" / "models"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_INDEX = "model.safetensors.index.json"
_WHOLE = "model.safetensors"
_TOKENIZER = [
    "tokenizer*", "*.model", "vocab*", "merges.txt", "special_tokens_map.json",
    "added_tokens.json", "config.json",
]  # fmt: skip
_BESIDE_WEIGHTS = [*_TOKENIZER, "*.json", "*.txt", "*.jinja"]
_WIDTHS = {"float32": ("F32", 4), "float16": ("F16", 2), "bfloat16": ("BF16", 2)}


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


def find_checkpoint(
    name: str, vet: Callable[[Checkpoint], None] = lambda found: None
) -> Checkpoint:
    """Find a model by bundled name, directory or hub name, and check that it may be loaded.

    A model that has to be fetched from the hub is given to `vet` by what the hub says of it,
    before any of its weights are fetched; what `vet` raises ends it there.
    Raises: ModelError saying what is wrong with the name or the directory, and what would do.
    """
    if not name.strip():
        raise ModelError(f"No model is named. Bundled ones are {', '.join(bundled_names())}.")
    name = name.strip()
    directory = _here(name) or _cached(name) or _fetched(name, vet)
    config = _config(name, directory)
    stored: dict[str, int] = {}
    for file in _weights(name, directory, _names(directory)):
        for dtype, count in _tensors(directory / file):
            stored[dtype] = stored.get(dtype, 0) + count
    if not stored:
        raise ModelError(f"The safetensors of “{name}” hold no weights.")
    return _checkpoint(name, directory, config, stored)


def find_tokenizer_directory(name: str) -> Path:
    """Find where a tokenizer lies, by the name of its model or directory; no weights are wanted.

    Raises: ModelError saying what is wrong with the name.
    """
    if not name.strip():
        raise ModelError(f"No tokenizer is named. Bundled ones are {', '.join(bundled_names())}.")
    name = name.strip()
    here = _here(name)
    if here is not None:
        return here
    cached = hub.cached(name, _TOKENIZER)
    if cached is not None and any(cached.glob("tokenizer*")):
        return cached
    with _telling(name):
        return hub.fetch(name, _TOKENIZER)


def _checkpoint(
    name: str, directory: Path, config: dict[str, Any], stored: dict[str, int]
) -> Checkpoint:
    most = max(stored, key=lambda dtype: stored[dtype])
    return Checkpoint(name, directory, config, sum(stored.values()), most)


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def _weights(name: str, directory: Path, files: Collection[str]) -> list[str]:
    """Which of the files transformers reads weights from: the one, or those its index names.

    Raises: ModelError where there are none, naming a pickle that stands in their place.
    """
    if _WHOLE in files:
        return [_WHOLE]
    if _INDEX in files:
        named = _read_json(directory / _INDEX).get("weight_map")
        if not isinstance(named, dict) or not named:
            raise ModelError(f"“{_INDEX}” names no weights.")
        return sorted(Path(str(n)).name for n in {*map(str, named.values())})
    pickles = sorted(f for f in files if f.endswith((".bin", ".pt", ".pth")))
    if pickles:
        raise ModelError(
            f"“{name}” stores its weights as a pickle ({pickles[0]}), which can run any code "
            "when opened. Save it again as safetensors: "
            "model.save_pretrained(directory, safe_serialization=True)."
        )
    raise ModelError(
        f"“{name}” has a config.json but no *.safetensors with its weights: neither {_WHOLE} nor "
        f"parts of it with a {_INDEX}."
    )


def _here(name: str) -> Path | None:
    """A bundled model's directory or a local one; None for what can be a name on the hub."""
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
    return None


def _cached(name: str) -> Path | None:
    """A hub model's directory in the cache, if all of its weights are there."""
    found = hub.cached(name, [])
    with contextlib.suppress(ModelError):
        if found is not None:
            weights = _weights(name, found, _names(found))
            return found if all((found / file).is_file() for file in weights) else None
    return None


def _fetched(name: str, vet: Callable[[Checkpoint], None]) -> Path:
    """A hub model's directory, once what is small has been read and the weights were found to fit.

    Only one set of weights is fetched, and nothing in folders within the model's.
    """
    with _telling(name):
        directory = hub.fetch(name, _BESIDE_WEIGHTS)
        config = _config(name, directory)
        listing = hub.look(name)
        weights = _weights(name, directory, listing.sizes)
        sizes = {file: listing.sizes.get(file, 0) for file in weights}
        missing = [file for file in weights if not (directory / file).is_file()]
        hub.check_disk(name, sum(sizes[file] for file in missing))
        vet(_checkpoint(name, directory, config, listing.stored or _guess(config, sizes)))
        return hub.fetch(name, missing) if missing else directory


def _guess(config: dict[str, Any], sizes: dict[str, int]) -> dict[str, int]:
    """How many numbers files of these sizes hold, in the dtype that the config names."""
    named = str(config.get("dtype") or config.get("torch_dtype"))
    dtype, width = _WIDTHS.get(named, _WIDTHS["float32"])
    return {dtype: sum(sizes.values()) // width}


@contextlib.contextmanager
def _telling(name: str) -> Iterator[None]:
    """Say in words that the hub did not give a model, whatever the reason."""
    try:
        yield
    except EngineError:
        raise
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
