"""MIB's own evaluation (Mueller et al. 2025) on a saved GPT-2, of a graph's file each time a line
comes in.

It is run by the Python of another environment as `mib_curve.py DIRECTORY PAIRS`, as `eap_ig.py` is,
and knows nothing of the engine. MIB names an argument that EAP-IG's main branch does not take, for
averages that are not asked for; it is left out. A line is JSON: the file, "edge" or "node", and
whether scores count by magnitude. Answers, a line each: wall and processor seconds, both ends,
MIB's faithfulness of every size, its two areas and its counts of edges.
"""

import json
import sys
import time
from contextlib import redirect_stdout
from typing import Any

import eap.evaluate
import torch
from eap.graph import Graph
from eap_ig import model_of, read
from MIB_circuit_track import evaluation


def logit_diff(
    logits: torch.Tensor, _clean: object, _lengths: object, labels: list[list[int]]
) -> torch.Tensor:
    both = logits[:, -1].gather(1, torch.tensor(labels))
    return both[:, 0] - both[:, 1]


def without_averages(*given: Any, optimal_ablation_path: None = None, **named: Any) -> Any:
    return eap.evaluate.evaluate_graph(*given, **named)


def main(directory: str, written: str) -> None:
    eap.evaluate.tokenize_plus = read
    evaluation.evaluate_graph = without_averages
    model, pairs = model_of(directory), json.loads(written)
    loader = [tuple(map(list, zip(*pairs, strict=True)))]
    print("ready", flush=True)
    for line in sys.stdin:
        path, level, absolute = json.loads(line)
        wall, processor = time.perf_counter(), time.process_time()
        with redirect_stdout(sys.stderr):
            graph = Graph.from_json(path)
            counts, cpr, cmd, _, f = evaluation.evaluate_area_under_curve(
                model, graph, loader, logit_diff, quiet=True, level=level, absolute=absolute
            )
            wall, processor = time.perf_counter() - wall, time.process_time() - processor
            ends = [
                float(eap.evaluate.evaluate_baseline(
                    model, loader, logit_diff, run_corrupted=corrupted, quiet=True
                ).mean())
                for corrupted in (False, True)
            ]  # fmt: skip
        print(json.dumps([wall, processor, ends, f, cpr, cmd, counts]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
