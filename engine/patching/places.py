"""What can be patched, and between which runs."""

from __future__ import annotations

from ..experiment.sites import MLP, Head, HeadPart, Heads, Site, Stream

STREAM_PLACES = {
    "resid_pre": "the stream entering a layer",
    "resid_mid": "the stream before its MLP",
    "attn_out": "what attention adds",
    "mlp_out": "what the MLP adds",
}
"""Places of a layer, patched position by position."""
HEAD_PLACES = {
    "z": "a head's output",
    "q": "its query",
    "k": "its key",
    "v": "its value",
    "pattern": "its attention",
}
"""Places of a head. Query heads that share a key-value head have one key and value, so the same
number; a pattern is patched row by row, at the queries' positions."""
PATCH_PLACES = {**STREAM_PLACES, **HEAD_PLACES}
PATCH_DIRECTIONS = {
    "denoise": "clean into corrupted",
    "noise": "corrupted into clean",
}
"""Whose value is put into whose run. Denoising asks what is enough to bring the answer back,
noising what it cannot do without (Heimersheim & Nanda 2024)."""


def site_of(place: str, layer: int, head: int = 0) -> Site:
    """The site whose resampling is this patch."""
    match place:
        case "resid_pre" | "resid_mid":
            return Stream(layer, place == "resid_mid")
        case "attn_out":
            return Heads(layer)
        case "mlp_out":
            return MLP(layer)
        case "z":
            return Head(layer, head)
    return HeadPart(layer, head, place)


def point_of(place: str) -> str:
    """The activation that is changed: all of `attn_out` is what the heads of a layer bring
    together, `z`, through one projection."""
    return "z" if place == "attn_out" else place
