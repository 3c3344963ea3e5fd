"""The engine's door: the only names pages and notebooks use."""

from .asking import Load, begin
from .attribution.direct import direct_attribution
from .attribution.inside import neuron_attribution, source_attribution
from .attribution.results import (
    DirectAttribution,
    DirectRun,
    NeuronAttribution,
    NeuronRun,
    SourceAttribution,
    SourceRun,
)
from .captures import activations
from .circuits.circuit import Circuit
from .circuits.controls import Controls, random_controls
from .circuits.evaluation import Evaluate, evaluate
from .circuits.files import circuit_left, read_circuits, write_circuits
from .circuits.overlaps import Overlap, Overlaps, overlap, overlaps
from .circuits.results import Evaluation
from .circuits.shelf import shelf
from .directions.directions import direction
from .directions.files import read_direction, read_directions, save_direction, write_directions
from .directions.results import DirectionValues
from .errors import (
    Cancelled,
    EmptyPrompt,
    EngineError,
    ExperimentError,
    LinkError,
    ModelError,
    NoNeurons,
    NoSequence,
    NoWords,
    SiteError,
    TokenError,
    Undecided,
)
from .experiment.ablations import Ablations, ablations
from .experiment.change import Change, changes
from .experiment.direction import Direction
from .experiment.experiment import Experiment
from .experiment.folded import fold_sites
from .experiment.makings import FromFeature, FromFile, FromHead, FromPrompts, FromUnembedding
from .experiment.method import Kind, Method
from .experiment.positions import Positions
from .experiment.question import Question
from .experiment.results import Activations, Candidate, ModelInfo, NextToken, Ranking, Score, Tokens
from .experiment.sae import Sae, saes
from .experiment.sites import (
    MLP,
    Feature,
    Head,
    HeadPart,
    Heads,
    Neuron,
    Shape,
    Site,
    Stream,
    parse_sites,
    print_sites,
    resolve_sites,
)
from .faithfulness.curve import FaithfulnessCurves, faithfulness_curve
from .faithfulness.mib import read_mib, write_mib
from .faithfulness.ranked import ORDERS, Ranked, rank_members
from .faithfulness.results import FaithfulnessCurve, faithfulness_figure
from .faithfulness.roc import auroc
from .features.active import FindFeatureContexts, active_features, feature_contexts, feature_tokens
from .features.active_results import ActiveFeatures
from .features.curve import CutFeatures, feature_curve
from .features.curve_results import FeatureCurve
from .features.files import SaeShape, bundled_sae, read_sae, sae_shape, save_sae
from .features.health import MeasureSae, measure_sae
from .features.health_results import SaeHealth
from .features.names import NeuronpediaName, neuronpedia_name
from .features.ranking import RankFeatures, rank_features
from .features.ranking_results import FeatureRanking
from .features.switching import keep_features, switch_off_features
from .features.training import TrainSae, train_sae
from .features.training_results import SaeTraining
from .generation.answer_ranking import RankAnswers, rank_answers
from .generation.figures import STEP_NUMBERS
from .generation.generation import Generate, Generation, generate
from .generation.many_prompts import GenerateMany, Many, generate_many
from .generation.results import Generated, GeneratedMany, RankedAnswers
from .generation.runs import (
    AnswerScore,
    Continuation,
    ManyRow,
    RankedAnswer,
    Run,
    RunTotals,
    Step,
    StepRun,
)
from .gradients.edge_results import EdgeAttribution
from .gradients.edges import AttributeEdges, edge_attribution
from .gradients.nodes import AttributeNodes, node_attribution
from .gradients.results import NodeAttribution
from .heads.attention import attention, attention_overview
from .heads.results import Attention, AttentionOverview, AttentionRun, HeadScores, Thumbnails
from .heads.scores import ROLE_SHARE, SCORES, head_roles, head_scores
from .lengths.lengths import ScoreLengths, score_lengths
from .lengths.results import LENGTH_METRICS, LengthRun, LengthScores
from .lens.figures import MEASURES, TRACES
from .lens.logit_lens import STREAMS, logit_lens
from .lens.results import Lens
from .lens.runs import LensRun, Trace
from .model.work import Work
from .neurons.context_results import QUANTILES, Context, NeuronContexts
from .neurons.contexts import FindContexts, neuron_contexts
from .neurons.language_results import LanguageNeurons
from .neurons.languages import FindLanguageNeurons, language_neurons
from .neurons.prompt_sets import PromptSet, prompt_set
from .neurons.ranking import RankNeurons, rank_neurons
from .neurons.results import NeuronRanking
from .neurons.token_results import NeuronTokens, TokenNumbers
from .neurons.tokens import neuron_tokens, promoted_tokens
from .parameters import Weights, weight, weights
from .patching.patch import Patch, patch
from .patching.places import HEAD_PLACES, PATCH_DIRECTIONS, PATCH_PLACES
from .patching.results import PATCH_ASPECTS, PatchResult
from .paths.edges import MOST_NODES, EdgeCircuit, prune_edges
from .paths.paths import MapPaths, PatchPaths, path_matrix, path_patch
from .paths.receivers import Receiver, parse_receivers, print_receivers
from .paths.results import Edge, PathMatrix, PathPatch
from .picking import certificate, models
from .ranking.ranking import next_token
from .registry import load, release
from .remedies import Remedy, remedies
from .roles.attending import ScoreQK, qk_scores
from .roles.composition import ScoreComposition, composition
from .roles.head_results import HeadRun, HeadWrites
from .roles.looks import QKScores
from .roles.on_prompt import head_writes
from .roles.partners import INTO, Composition
from .roles.published import PUBLISHED, PublishedScore, published_scores
from .roles.results import OVScores
from .roles.scoring import EMBEDDINGS, ScoreOV, ov_scores
from .roles.words import CONTEXTS, SPELLINGS, WORD_LISTS, read_words
from .saved.saes import bundled_saes
from .scoring.metrics import METRIC_NAMES, METRICS
from .search.agreement import SearchAgreement, agreement_of_searches
from .search.discover import Discover, discover
from .search.many import DiscoverMany, discover_many
from .search.many_results import MARKS, DiscoveredMany
from .search.results import Discovery
from .search.saved import search_path
from .search.search import BY_GRADIENTS, DIRECTIONS, SEARCH_METRICS, STRATEGIES, Node, Search, Trial
from .showing.palette import ON_DARK, PALETTE
from .showing.site_grid import SiteGrid
from .showing.writing import percent, points, signed, visible
from .steering.best import BestCoefficient, best_coefficient
from .steering.best_results import BestSteering
from .steering.examples import STEERING_EXAMPLES, SteeringExample, steering_example
from .steering.neutral import neutral_texts
from .steering.results import STEERING_ASPECTS, SteeringResult
from .steering.steer import SteeringMap, steer
from .steering.text_results import SteeredTexts
from .steering.texts import SteerTexts, steered_texts
from .sweeps.estimates import Agreement, Estimate
from .sweeps.figures import ASPECTS
from .sweeps.results import SweepResult
from .sweeps.sweep import Sweep, sweep
from .tasks.drafts import pair_families
from .tasks.drawing import DrawFresh, DrawTask, fresh_task, task
from .tasks.families import Example, examples, styles_of, task_families
from .tasks.pairs import Pair, Task, read_task, write_task
from .tasks.reading import read_examples
from .tasks.results import PairScores, TaskScore
from .tasks.scores import ScoreTask, score_task
from .tasks.style_results import StyleScores
from .tasks.style_scores import ScoreStyles, score_styles
from .tasks.styles import STYLES
from .text.csv_text import read_csv
from .text.shown import token_text
from .tokenizers.alignment import compare_sentencepiece, compare_tokenizers
from .tokenizers.counting import number_lengths
from .tokenizers.reading import token_view, token_views, tokenize, would_change
from .tokenizers.results import (
    AlignedBlock,
    Alignment,
    Joined,
    NumberLengths,
    SentencePieceView,
    TokenView,
    TokenViews,
    Twin,
    Twins,
)
from .tokenizers.twins import twins
from .trials.results import Certificate, Check, PlaceCheck

__all__ = [
    "ASPECTS", "BY_GRADIENTS", "CONTEXTS", "DIRECTIONS", "EMBEDDINGS", "HEAD_PLACES", "INTO",
    "LENGTH_METRICS", "MARKS", "MEASURES", "METRICS", "METRIC_NAMES", "MLP", "MOST_NODES",
    "ON_DARK", "ORDERS", "PALETTE", "PATCH_ASPECTS", "PATCH_DIRECTIONS", "PATCH_PLACES",
    "PUBLISHED", "QUANTILES", "ROLE_SHARE", "SCORES", "SEARCH_METRICS", "SPELLINGS",
    "STEERING_ASPECTS", "STEERING_EXAMPLES", "STEP_NUMBERS", "STRATEGIES", "STREAMS", "STYLES",
    "TRACES", "WORD_LISTS", "Ablations", "Activations", "ActiveFeatures", "Agreement",
    "AlignedBlock", "Alignment", "AnswerScore", "Attention", "AttentionOverview", "AttentionRun",
    "AttributeEdges", "AttributeNodes", "BestCoefficient", "BestSteering", "Cancelled", "Candidate",
    "Certificate", "Change", "Check", "Circuit", "Composition", "Context", "Continuation",
    "Controls", "CutFeatures", "DirectAttribution", "DirectRun", "Direction", "DirectionValues",
    "Discover", "DiscoverMany", "DiscoveredMany", "Discovery", "DrawFresh", "DrawTask", "Edge",
    "EdgeAttribution", "EdgeCircuit", "EmptyPrompt", "EngineError", "Estimate", "Evaluate",
    "Evaluation", "Example", "Experiment", "ExperimentError", "FaithfulnessCurve",
    "FaithfulnessCurves", "Feature", "FeatureCurve", "FeatureRanking", "FindContexts",
    "FindFeatureContexts", "FindLanguageNeurons", "FromFeature", "FromFile", "FromHead",
    "FromPrompts", "FromUnembedding", "Generate", "GenerateMany", "Generated", "GeneratedMany",
    "Generation", "Head", "HeadPart", "HeadRun", "HeadScores", "HeadWrites", "Heads", "Joined",
    "Kind", "LanguageNeurons", "LengthRun", "LengthScores", "Lens", "LensRun", "LinkError", "Load",
    "Many", "ManyRow", "MapPaths", "MeasureSae", "Method", "ModelError", "ModelInfo", "Neuron",
    "NeuronAttribution", "NeuronContexts", "NeuronRanking", "NeuronRun", "NeuronTokens",
    "NeuronpediaName", "NextToken", "NoNeurons", "NoSequence", "NoWords", "Node", "NodeAttribution",
    "NumberLengths", "OVScores", "Overlap", "Overlaps", "Pair", "PairScores", "Patch", "PatchPaths",
    "PatchResult", "PathMatrix", "PathPatch", "PlaceCheck", "Positions", "PromptSet",
    "PublishedScore", "QKScores", "Question", "RankAnswers", "RankFeatures", "RankNeurons",
    "Ranked", "RankedAnswer", "RankedAnswers", "Ranking", "Receiver", "Remedy", "Run", "RunTotals",
    "Sae", "SaeHealth", "SaeShape", "SaeTraining", "Score", "ScoreComposition", "ScoreLengths",
    "ScoreOV", "ScoreQK", "ScoreStyles", "ScoreTask", "Search", "SearchAgreement",
    "SentencePieceView", "Shape", "Site", "SiteError", "SiteGrid", "SourceAttribution", "SourceRun",
    "SteerTexts", "SteeredTexts", "SteeringExample", "SteeringMap", "SteeringResult", "Step",
    "StepRun", "Stream", "StyleScores", "Sweep", "SweepResult", "Task", "TaskScore", "Thumbnails",
    "TokenError", "TokenNumbers", "TokenView", "TokenViews", "Tokens", "Trace", "TrainSae", "Trial",
    "Twin", "Twins", "Undecided", "Weights", "Work", "ablations", "activations", "active_features",
    "agreement_of_searches", "attention", "attention_overview", "auroc", "begin",
    "best_coefficient", "bundled_sae", "bundled_saes", "certificate", "changes", "circuit_left",
    "compare_sentencepiece", "compare_tokenizers", "composition", "direct_attribution", "direction",
    "discover", "discover_many", "edge_attribution", "evaluate", "examples", "faithfulness_curve",
    "faithfulness_figure", "feature_contexts", "feature_curve", "feature_tokens", "fold_sites",
    "fresh_task", "generate", "generate_many", "head_roles", "head_scores", "head_writes",
    "keep_features", "language_neurons", "load", "logit_lens", "measure_sae", "models",
    "neuron_attribution", "neuron_contexts", "neuron_tokens", "neuronpedia_name", "neutral_texts",
    "next_token", "node_attribution", "number_lengths", "ov_scores", "overlap", "overlaps",
    "pair_families", "parse_receivers", "parse_sites", "patch", "path_matrix", "path_patch",
    "percent", "points", "print_receivers", "print_sites", "promoted_tokens", "prompt_set",
    "prune_edges", "published_scores", "qk_scores", "random_controls", "rank_answers",
    "rank_features", "rank_members", "rank_neurons", "read_circuits", "read_csv", "read_direction",
    "read_directions", "read_examples", "read_mib", "read_sae", "read_task", "read_words",
    "release", "remedies", "resolve_sites", "sae_shape", "saes", "save_direction", "save_sae",
    "score_lengths", "score_styles", "score_task", "search_path", "shelf", "signed",
    "source_attribution", "steer", "steered_texts", "steering_example", "styles_of", "sweep",
    "switch_off_features", "task", "task_families", "token_text", "token_view", "token_views",
    "tokenize", "train_sae", "twins", "visible", "weight", "weights", "would_change",
    "write_circuits", "write_directions", "write_mib", "write_task",
]  # fmt: skip
