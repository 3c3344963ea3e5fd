"""Which neurons there are to be asked about, and why there may be none."""

from __future__ import annotations

from typing import Any

from ..errors import NoNeurons, SiteError
from ..experiment.sites import Neuron, Site, parse_sites, resolve_sites
from ..model.model import Model
from ..model.place import inputs_of


def layers_with_neurons(model: Model, layer: int | None = None) -> tuple[int, ...]:
    """The layers, or the one named, whose neurons can be seen and changed.

    Raises: NoNeurons in words where there are none, or the layer named has none.
    """
    shape = model.shape
    if layer is not None and not 0 <= layer < shape.n_layers:
        raise SiteError(f"There is no layer {layer}; the layers are 0 to {shape.n_layers - 1}.")
    if shape.d_mlp is None:
        raise NoNeurons(
            f"Single neurons of {model.checkpoint.architecture} cannot be reached in every layer, "
            "as where some are mixtures of experts or have no MLP, so none is named here. The "
            "Sweep switches whole MLPs."
        )
    each = range(shape.n_layers) if layer is None else (layer,)
    result = tuple(
        at
        for at in each
        if model.reaches("post", at) and inputs_of(model.place("post", at).module) == shape.d_mlp
    )
    if not result:
        raise NoNeurons(model.why_not("post", each[0]))
    return result


def left_out(model: Model, layers: tuple[int, ...]) -> tuple[str, ...]:
    """A sentence where layers have no neurons that can be reached."""
    without = [str(at) for at in range(model.shape.n_layers) if at not in layers]
    if not without or len(layers) == 1:
        return ()
    return (f"Left out, as single neurons cannot be reached there: layers {', '.join(without)}.",)


def one_neuron(given: Any) -> Neuron:
    """The one neuron that is meant: a Neuron, or as text, “n5.12” or “5.12”.

    Raises: SiteError for what is not one neuron.
    """
    if isinstance(given, Neuron):
        return given
    text = str(given).strip()
    text = f"n{text}" if text[:1].isdigit() else text
    sites: tuple[Site, ...] = parse_sites(text)
    if len(sites) != 1 or not isinstance(sites[0], Neuron):
        raise SiteError(f"Name one neuron, as in n9.123; “{given!s:.40}” is not that.")
    return sites[0]


def check_neuron(model: Model, neuron: Neuron) -> None:
    """Refuse a neuron that the model does not have. Raises: EngineError in words."""
    layers_with_neurons(model)
    resolve_sites((neuron,), model.shape)
    layers_with_neurons(model, neuron.layer)
