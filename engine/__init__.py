"""The engine's door: the only names pages and notebooks use."""

from .captures import activations
from .errors import (
    Cancelled,
    EngineError,
    ExperimentError,
    LinkError,
    ModelError,
    SiteError,
    TokenError,
)
from .experiment import Ablations, Experiment, Kind, Method, Positions, ablations
from .lens import logit_lens
from .ranking import next_token
from .reading import tokenize
from .registry import load, models, release
from .results import (
    Activations,
    Candidate,
    Lens,
    LensRun,
    ModelInfo,
    NextToken,
    Ranking,
    Score,
    Tokens,
    Trace,
)
from .sites import (
    MLP,
    Head,
    Heads,
    Neuron,
    Shape,
    Site,
    fold_sites,
    parse_sites,
    print_sites,
    resolve_sites,
)

__all__ = [
    "MLP",
    "Ablations",
    "Activations",
    "Cancelled",
    "Candidate",
    "EngineError",
    "Experiment",
    "ExperimentError",
    "Head",
    "Heads",
    "Kind",
    "Lens",
    "LensRun",
    "LinkError",
    "Method",
    "ModelError",
    "ModelInfo",
    "Neuron",
    "NextToken",
    "Positions",
    "Ranking",
    "Score",
    "Shape",
    "Site",
    "SiteError",
    "TokenError",
    "Tokens",
    "Trace",
    "ablations",
    "activations",
    "fold_sites",
    "load",
    "logit_lens",
    "models",
    "next_token",
    "parse_sites",
    "print_sites",
    "release",
    "resolve_sites",
    "tokenize",
]
