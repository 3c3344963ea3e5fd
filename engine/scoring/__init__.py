"""How a run is scored: what answers are in place, the logit difference, the metrics."""
