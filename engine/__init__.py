"""The engine's door: the only names pages and notebooks use."""

from .attention import attention, attention_overview
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
from .head_scores import SCORES, head_scores
from .ranking import next_token
from .reading import tokenize
from .registry import load, models, release
from .results import (
    Activations,
    Attention,
    AttentionOverview,
    AttentionRun,
    Candidate,
    HeadScores,
    ModelInfo,
    NextToken,
    Ranking,
    Score,
    Thumbnails,
    Tokens,
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
    "SCORES",
    "Ablations",
    "Activations",
    "Attention",
    "AttentionOverview",
    "AttentionRun",
    "Cancelled",
    "Candidate",
    "EngineError",
    "Experiment",
    "ExperimentError",
    "Head",
    "HeadScores",
    "Heads",
    "Kind",
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
    "Thumbnails",
    "TokenError",
    "Tokens",
    "ablations",
    "activations",
    "attention",
    "attention_overview",
    "fold_sites",
    "head_scores",
    "load",
    "models",
    "next_token",
    "parse_sites",
    "print_sites",
    "release",
    "resolve_sites",
    "tokenize",
]
