"""The engine's door: the only names pages and notebooks use."""

from .alignment import compare_sentencepiece, compare_tokenizers
from .answer_ranking import rank_answers
from .attention import attention, attention_overview
from .attention_results import Attention, AttentionOverview, AttentionRun, HeadScores, Thumbnails
from .captures import activations
from .circuit_figures import draw_circuit, draw_counts, draw_overlap, draw_overlaps
from .circuit_files import circuit_left, read_circuits, write_circuits
from .circuit_results import Controls, Evaluation
from .circuit_tables import (
    circuit_table,
    edge_table,
    evaluation_table,
    member_table,
    overlap_table,
    path_table,
)
from .circuits import Circuit
from .controls import random_controls
from .counting import number_lengths
from .drafts import pair_families
from .drawing import fresh_task, task
from .edges import MOST_NODES, Edge, EdgeCircuit, prune_edges
from .errors import (
    Cancelled,
    EngineError,
    ExperimentError,
    LinkError,
    ModelError,
    SiteError,
    TokenError,
)
from .evaluation import evaluate, evaluating
from .evaluation_figures import draw_evaluation, draw_members
from .experiment import Ablations, Experiment, Kind, Method, Positions, ablations
from .generation import Generation, generate
from .generation_figures import ANSWERS_DRAWN, STEP_NUMBERS, draw_answers, draw_shares, draw_steps
from .generation_results import (
    AnswerScore,
    Continuation,
    GeneratedMany,
    ManyRow,
    RankedAnswer,
    RankedAnswers,
    Run,
    RunTotals,
    Step,
    StepRun,
)
from .generation_tables import answer_table, many_table, step_table, totals_table
from .head_scores import SCORES, head_scores
from .lens import STREAMS, logit_lens
from .lens_figures import MEASURES, TRACES, draw_lens, draw_traces
from .lens_results import Lens, LensRun, Trace
from .many_prompts import Many, generate_many, run_totals
from .overlaps import Overlap, overlap, overlaps
from .pairs import Pair, Task, read_task, write_task
from .path_figures import draw_path_patch, draw_paths
from .path_results import PathMatrix, PathPatch
from .paths import path_mapping, path_matrix, path_patch, path_patching
from .ranking import next_token
from .reading import token_view, token_views, tokenize, would_change
from .receivers import Receiver, print_receivers
from .registry import load, models, release
from .results import Activations, Candidate, ModelInfo, NextToken, Ranking, Score, Tokens
from .saved_searches import search_path
from .search import Discovering, discover, discovering
from .search_figures import draw_search, draw_search_positions, draw_trials
from .search_results import Discovery
from .search_tables import search_table
from .searches import DIRECTIONS, SEARCH_METRICS, STRATEGIES, Node, Search, Trial
from .shelf import shelf
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
from .sweep import Sweeping, sweep, sweeping
from .sweep_figures import METRIC_NAMES, draw_sweep, draw_sweep_positions, sweep_map
from .sweep_results import ASPECTS, METRICS, Agreement, Estimate, Sweep
from .sweep_tables import sweep_prompts_table, sweep_table
from .task_results import PairScores, TaskScore
from .task_scores import score_task, scoring
from .tasks import Example, examples, read_examples, task_families
from .token_figures import draw_number_lengths
from .token_results import (
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
from .twins import twins
from .worker import Job
from .writing import percent, signed, visible

__all__ = [
    "ANSWERS_DRAWN",
    "ASPECTS",
    "DIRECTIONS",
    "MEASURES",
    "METRICS",
    "METRIC_NAMES",
    "MLP",
    "MOST_NODES",
    "SCORES",
    "SEARCH_METRICS",
    "STEP_NUMBERS",
    "STRATEGIES",
    "STREAMS",
    "TRACES",
    "Ablations",
    "Activations",
    "Agreement",
    "AlignedBlock",
    "Alignment",
    "AnswerScore",
    "Attention",
    "AttentionOverview",
    "AttentionRun",
    "Cancelled",
    "Candidate",
    "Circuit",
    "Continuation",
    "Controls",
    "Discovering",
    "Discovery",
    "Edge",
    "EdgeCircuit",
    "EngineError",
    "Estimate",
    "Evaluation",
    "Example",
    "Experiment",
    "ExperimentError",
    "GeneratedMany",
    "Generation",
    "Head",
    "HeadScores",
    "Heads",
    "Job",
    "Joined",
    "Kind",
    "Lens",
    "LensRun",
    "LinkError",
    "Many",
    "ManyRow",
    "Method",
    "ModelError",
    "ModelInfo",
    "Neuron",
    "NextToken",
    "Node",
    "NumberLengths",
    "Overlap",
    "Pair",
    "PairScores",
    "PathMatrix",
    "PathPatch",
    "Positions",
    "RankedAnswer",
    "RankedAnswers",
    "Ranking",
    "Receiver",
    "Run",
    "RunTotals",
    "Score",
    "Search",
    "SentencePieceView",
    "Shape",
    "Site",
    "SiteError",
    "Step",
    "StepRun",
    "Sweep",
    "Sweeping",
    "Task",
    "TaskScore",
    "Thumbnails",
    "TokenError",
    "TokenView",
    "TokenViews",
    "Tokens",
    "Trace",
    "Trial",
    "Twin",
    "Twins",
    "ablations",
    "activations",
    "answer_table",
    "attention",
    "attention_overview",
    "circuit_left",
    "circuit_table",
    "compare_sentencepiece",
    "compare_tokenizers",
    "discover",
    "discovering",
    "draw_answers",
    "draw_circuit",
    "draw_counts",
    "draw_evaluation",
    "draw_lens",
    "draw_members",
    "draw_number_lengths",
    "draw_overlap",
    "draw_overlaps",
    "draw_path_patch",
    "draw_paths",
    "draw_search",
    "draw_search_positions",
    "draw_shares",
    "draw_steps",
    "draw_sweep",
    "draw_sweep_positions",
    "draw_traces",
    "draw_trials",
    "edge_table",
    "evaluate",
    "evaluating",
    "evaluation_table",
    "examples",
    "fold_sites",
    "fresh_task",
    "generate",
    "generate_many",
    "head_scores",
    "load",
    "logit_lens",
    "many_table",
    "member_table",
    "models",
    "next_token",
    "number_lengths",
    "overlap",
    "overlap_table",
    "overlaps",
    "pair_families",
    "parse_sites",
    "path_mapping",
    "path_matrix",
    "path_patch",
    "path_patching",
    "path_table",
    "percent",
    "print_receivers",
    "print_sites",
    "prune_edges",
    "random_controls",
    "rank_answers",
    "read_circuits",
    "read_examples",
    "read_task",
    "release",
    "resolve_sites",
    "run_totals",
    "score_task",
    "scoring",
    "search_path",
    "search_table",
    "shelf",
    "signed",
    "step_table",
    "sweep",
    "sweep_map",
    "sweep_prompts_table",
    "sweep_table",
    "sweeping",
    "task",
    "task_families",
    "token_view",
    "token_views",
    "tokenize",
    "totals_table",
    "twins",
    "visible",
    "would_change",
    "write_circuits",
    "write_task",
]
