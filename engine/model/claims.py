"""What a model's config claims, held against what its files store before anything is made of it.

A config is a text that anybody wrote. Some of its words would have transformers fetch and run code
of others, or read other files than those looked at: they are left out. Some of its numbers would
have it make ten million layers of nothing: they are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..errors import ModelError

FREE = 2**20
"""A size so small that it is believed without anything stored to show for it."""
FREE_LAYERS = 2**10
"""Layers that are believed likewise."""
MOST_POSITIONS = 2**25
"""Positions that are believed: the longest published context has a third of them."""
_DEEPEST = 32

_FOREIGN = re.compile(
    r"_?(attn|experts?|attention)_implementation(_internal|_autoset)?|_flash_attn_2_enabled"
    r"|use_kernels|kernel_config|kernels?_mapping|fusion_config|distributed_config"
    r"|auto_map|custom_pipelines|custom_generate|trust_remote_code"
    r"|transformers_weights|configuration_files|gguf_file|_name_or_path|name_or_path|_commit_hash"
    r"|num_labels|id2label|label2id|pruned_heads"
)
"""Keys that name code or files, or that only a classifier has a use for."""

_NO_SIZE = re.compile(
    r".*(tokens?|theta|seed|_?ids?|_index|_idx|_base|params|parameters|steps|samples|version"
    r"|bytes|flops|freq|date|revision|model_max_length|max_length|min_length)(_.*)?|(.*_)?scale"
)
_LAYERS = re.compile(r"(.*_)?(n_?)?(layers?|blocks?|depths?|block_count)")
_POSITIONS = re.compile(r".*(position|context|ctx|window|seq_?len|seq_?length|max_seq|chunk).*")
"""Whose numbers size nothing; whose count layers; whose count positions that need not be stored.
All others may be a side of some weight."""


def believable(config: dict[str, Any]) -> dict[str, Any]:
    """The config without the words that are not for it to say, at any depth.

    The attention a model runs with is named by the engine; one that a config names may be a
    repository of code on the hub.
    """
    return {key: _believable(value) for key, value in config.items() if not _FOREIGN.fullmatch(key)}


def _believable(value: Any) -> Any:
    if isinstance(value, dict):
        return believable(value)
    return [_believable(v) for v in value] if isinstance(value, list) else value


def check_claims(
    name: str, config: dict[str, Any], n_numbers: int = 2**48, n_tensors: int = 2**20
) -> None:
    """Refuse a config whose sizes nothing that is stored could fill.

    `n_numbers` and `n_tensors` are what the files hold; left out, only what no model has is
    refused. Raises: ModelError naming the claim.
    """
    for where, value in _integers(name, config):
        key = re.sub(r"(\[\])+$", "", where).rsplit(".", 1)[-1].lower()
        if _NO_SIZE.fullmatch(key):
            continue
        if _LAYERS.fullmatch(key):
            most, held = max(FREE_LAYERS, n_tensors), f"its files hold {n_tensors:,} tensors"
        elif _POSITIONS.fullmatch(key):
            most, held = MOST_POSITIONS, f"no model has more than {MOST_POSITIONS:,}"
        else:
            most, held = max(FREE, n_numbers), f"its files hold {n_numbers:,} numbers"
        if value > most:
            raise ModelError(
                f"The config of “{name}” claims {where} = {_short(value)}, and {held}. It does "
                "not describe these weights; give the config they were saved with."
            )


def _integers(name: str, config: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Each integer in a config with the way to it, as in `text_config.num_layers`."""
    stack: list[tuple[str, Any, int]] = [("", config, 0)]
    while stack:
        where, value, depth = stack.pop()
        if depth > _DEEPEST:
            raise ModelError(f"The config of “{name}” is nested more than {_DEEPEST} deep.")
        if isinstance(value, dict):
            stack += [(f"{where}.{k}".lstrip("."), v, depth + 1) for k, v in value.items()]
        elif isinstance(value, list):
            stack += [(f"{where}[]", v, depth + 1) for v in value]
        elif isinstance(value, int) and not isinstance(value, bool):
            yield where, value


def _short(value: int) -> str:
    """A number as a reader wants it, whatever its length."""
    if value < 10**15:
        return f"{value:,}"
    return f"a number of {value.bit_length() * 3 // 10 + 1:,} digits"
