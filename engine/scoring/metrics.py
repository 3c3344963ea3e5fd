"""What is scored of a run, by name, with its definition, unit and sense."""

from __future__ import annotations

STORED = ("logit_diff", "prob", "log_prob", "rank", "kl")
METRICS = {
    "logit_diff": "logit(answer) − logit(distractor) at the first token where they differ; "
    "positive is right",
    "prob": "probability of the whole answer, 0 to 1",
    "log_prob": "log-probability of the whole answer, natural logarithm: the sum over its tokens",
    "rank": "rank of the answer at its place, 1 is best",
    "kl": "divergence from the clean run, KL(clean ‖ ablated) in nats",
    "accuracy": "1 where the answer ranks first at its place, else 0",
    "kept": "logit difference as a share of the clean one's mean: 1 keeps all, 0 nothing, below 0 "
    "the distractor wins",
}
"""Each metric's definition, by its name; what is not stored follows from what is."""
METRIC_NAMES = {
    "logit_diff": "logit difference",
    "prob": "probability",
    "log_prob": "log-probability",
    "rank": "answer's rank",
    "kl": "divergence, nats",
    "accuracy": "accuracy",
    "kept": "share of the score kept",
}
"""What each metric is called on an axis; METRICS defines it."""
LESS_IS_BETTER = ("rank", "kl")
