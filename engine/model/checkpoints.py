"""From a model's name to files that are safe to load: bundled, catalogued, local, from the hub.

Only safetensors and GGUF are read, and no code that comes with a model is ever run. What is found
is held against its own claims before anybody makes anything of it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import EngineError, ModelError
from ..text.stand_ins import check_file
from . import catalogue, hub
from .claims import check_claims
from .families import check_family
from .gguf import architecture_of, family_of, read_header
from .stored import ADAPTER_CONFIG, Stored, adapter, read_json, stored_in, weight_files

BUNDLED = Path(__file__).resolve().parents[2] / "assets" / "models"
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_TOKENIZER = [
    "tokenizer*", "*.model", "vocab*", "merges.txt", "special_tokens_map.json",
    "added_tokens.json", "config.json",
]  # fmt: skip
_BESIDE_WEIGHTS = [*_TOKENIZER, "*.json", "*.txt", "*.jinja"]
_WIDTHS = {"float32": ("F32", 4), "float16": ("F16", 2), "bfloat16": ("BF16", 2)}
_UNPACKED = {"U8": 2, "I32": 8}
"""How many numbers a stored one may hold where a model is quantized."""
_DEQUANTIZED = ("mxfp4", "fp8")
"""Quantizations whose weights are made into plain numbers as they are read."""


@dataclass(frozen=True)
class Checkpoint:
    """A model's files on this machine, looked at but not yet loaded.

    `directory` holds them; `gguf` is the one file of a model that is a GGUF file. `n_parameters`
    counts the numbers its weights are once read; `stored_dtype` is that of most of those stored.
    """

    name: str
    directory: Path
    config: dict[str, Any]
    n_parameters: int
    stored_dtype: str
    gguf: Path | None = None
    stored: Stored = field(default_factory=lambda: Stored({}, 0, 0))

    @property
    def place(self) -> Path:
        """What it is known by, whatever name it was found under."""
        return (self.gguf or self.directory).resolve()

    @property
    def architecture(self) -> str:
        """The class that reads it, as in `GPT2LMHeadModel`."""
        named = self.config.get("architectures")
        if isinstance(named, list) and named and isinstance(named[0], str):
            return named[0]
        return str(self.config["model_type"])

    @property
    def quantization(self) -> str | None:
        """How its stored weights are quantized, as in `GGUF Q4_1`; None where they are not."""
        if self.gguf is not None:
            return f"GGUF {self.stored_dtype}"
        method = _quantized_by(self.config)
        return method or None

    @property
    def packed(self) -> bool:
        """Whether its weights stay quantized in memory."""
        method = _quantized_by(self.config)
        return bool(method) and method not in _DEQUANTIZED

    @property
    def most_numbers(self) -> int:
        """How many numbers its files can be the weights of, packed ones counted as many."""
        if self.gguf is not None or not self.quantization:
            return self.stored.n_numbers
        return sum(n * _UNPACKED.get(dtype, 1) for dtype, n in self.stored.counts.items())

    def bytes_in(self, width: int) -> int:
        """The memory its weights take with so many bytes a number."""
        return self.stored.n_bytes if self.packed else self.n_parameters * width

    @property
    def about(self) -> str:
        """One sentence for a picker: what the card says, or the architecture and size."""
        card = self.directory / "card.json"
        with contextlib.suppress(ModelError):  # a card that cannot be read says nothing
            sentence = read_json(card).get("about") if not self.gguf and card.is_file() else None
            if isinstance(sentence, str):
                return sentence
        size = f"{self.architecture}, {self.n_parameters / 1e6:,.1f}M parameters"
        how = "" if self.packed else ", dequantized as it is read"
        return f"{size}, {self.quantization}{how}" if self.quantization else size


def bundled_names() -> tuple[str, ...]:
    """The models that ship with the project, in order of name."""
    if not BUNDLED.is_dir():
        return ()
    return tuple(sorted(d.name for d in BUNDLED.iterdir() if (d / "config.json").is_file()))


def find_checkpoint(
    name: str,
    vet: Callable[[Checkpoint], None] = lambda result: None,
    tell: Callable[[float, str], None] = lambda share, doing: None,
) -> Checkpoint:
    """Find a model by any of its names, and check that it may be loaded.

    A model that has to be fetched from the hub is given to `vet` by what the hub says of it,
    before any of its weights are fetched; what `vet` raises ends it there. `tell` is told how far
    a fetch is (0 to 1) and what is done; what it raises ends that.
    Raises: ModelError saying what is wrong with the name or the files, and what would do.
    """
    if not name.strip():
        raise ModelError(f"No model is named. Bundled ones are {', '.join(bundled_names())}.")
    name = name.strip()
    listed = catalogue.entry(name)
    if listed is not None and not Path(name).exists():
        place = catalogue.ready(listed, lambda repository: _on_hub(repository, vet, tell), tell)
    else:
        place = find_place(name) or _on_hub(name, vet, tell)
    if place.is_file():
        return _gguf(name, place)
    config = _config(name, place)
    files = [place / file for file in weight_files(name, place, _names(place))]
    result = _checkpoint(name, place, config, stored_in(name, files))
    check_claims(name, config, result.most_numbers, result.stored.n_tensors)
    return result


def find_place(name: str) -> Path | None:
    """Where a model lies that has a name of its own here: a directory or a GGUF file.

    Returns: None for what can only be a name on the hub, or one that was not fetched yet.
    Raises: ModelError for what is no name.
    """
    if name in bundled_names():
        return BUNDLED / name
    listed = catalogue.entry(name)
    try:
        if listed is not None and not Path(name).exists():
            return catalogue.fetched(listed)
        local = Path(name).expanduser()
        if local.is_dir() or (local.is_file() and local.suffix.lower() == ".gguf"):
            return local
        is_file = local.is_file()
    except (OSError, ValueError, RuntimeError):
        raise ModelError(f"“{name[:80]}” is no name of a model.") from None
    if is_file or local.suffix.lower() == ".gguf":
        raise ModelError(
            f"“{name[:200]}” is {'a file' if is_file else 'no file on this machine'}. Of files "
            "GGUF alone is read (*.gguf); else give the directory that save_pretrained wrote."
        )
    if not _HUB_NAME.fullmatch(name):
        raise ModelError(
            f"There is no directory or file “{name[:200]}” on this machine, and it is no hub name "
            f"such as gpt2. Bundled models are {', '.join(bundled_names())}."
        )
    return None


def find_tokenizer_directory(name: str) -> Path:
    """Find where a tokenizer lies, by the name of its model or directory; no weights are wanted.

    Raises: ModelError saying what is wrong with the name.
    """
    if not name.strip():
        raise ModelError(f"No tokenizer is named. Bundled ones are {', '.join(bundled_names())}.")
    name = name.strip()
    result = find_place(name)
    if result is None:
        cached = hub.cached(name, _TOKENIZER)
        if cached is not None and any(cached.glob("tokenizer*")):
            result = cached
    if result is None:
        with _telling(name):
            result = hub.fetch(name, _TOKENIZER)
    config = result / "config.json"
    if config.is_file():  # transformers makes a config of it to choose the tokenizer's class
        check_claims(name, read_json(config))
    return result


def _checkpoint(name: str, directory: Path, config: dict[str, Any], stored: Stored) -> Checkpoint:
    numbers = stored.n_numbers
    if _quantized_by(config) == "mxfp4":
        numbers += stored.counts.get("U8", 0)  # two numbers in each
    return Checkpoint(name, directory, config, numbers, stored.most, None, stored)


def _gguf(name: str, file: Path) -> Checkpoint:
    """A GGUF file as a checkpoint; what it claims is checked as a config's word is."""
    header = read_header(file)
    family = family_of(name, header)
    config = {"model_type": family, "architectures": [architecture_of(family)]}
    stored = header.stored
    check_claims(name, header.sizes, stored.n_numbers, stored.n_tensors)
    if "tokenizer.ggml.tokens" not in header.values:
        raise ModelError(
            f"“{name}” is a GGUF file without a tokenizer (tokenizer.ggml.tokens). Take a file "
            "that was made with one."
        )
    return Checkpoint(name, file.parent, config, stored.n_numbers, stored.most, file, stored)


def _quantized_by(config: dict[str, Any]) -> str:
    quantization = config.get("quantization_config")
    return str(quantization.get("quant_method") or "") if isinstance(quantization, dict) else ""


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def _cached(name: str) -> Path | None:
    """A hub model's directory in the cache, if all of its weights are there."""
    result = hub.cached(name, [])
    with contextlib.suppress(ModelError):
        if result is not None:
            weights = weight_files(name, result, _names(result))
            return result if all((result / file).is_file() for file in weights) else None
    return None


def _on_hub(
    name: str, vet: Callable[[Checkpoint], None], tell: Callable[[float, str], None]
) -> Path:
    return _cached(name) or _fetched(name, vet, tell)


def _fetched(
    name: str, vet: Callable[[Checkpoint], None], tell: Callable[[float, str], None]
) -> Path:
    """A hub model's directory, once what is small has been read and the weights were found to fit.

    Only one set of weights is fetched, and nothing in folders within the model's.
    """
    with _telling(name):
        tell(0.0, "Asking the hub")
        directory = hub.fetch(name, _BESIDE_WEIGHTS)
        config = _config(name, directory)
        listing = hub.look(name)
        weights = weight_files(name, directory, listing.sizes)
        sizes = {file: listing.sizes.get(file, 0) for file in weights}
        missing = [file for file in weights if not (directory / file).is_file()]
        hub.check_disk(name, sum(sizes[file] for file in missing))
        counts = listing.stored or _guess(config, sizes)
        vet(_checkpoint(name, directory, config, Stored(counts, 0, sum(sizes.values()))))
        for n, file in enumerate(missing):
            tell(n / len(missing), f"Fetching {file}")
            directory = hub.fetch(name, [file])
        return directory


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
    if (directory / ADAPTER_CONFIG).is_file() and not path.is_file():
        raise ModelError(adapter(name, directory))
    check_file(path)
    if not path.is_file():
        raise ModelError(
            f"“{name}” is a directory without a config.json, so it is no Hugging Face model. Give "
            "the directory that save_pretrained wrote."
        )
    config = read_json(path)
    check_family(name, config)
    return config
