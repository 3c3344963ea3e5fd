"""A next-token result as the plain data of the rankings component."""

from typing import Any

import engine
from pages._parts.text import percent, signed, visible


def comparison(result: engine.NextToken, refused: bool) -> dict[str, Any]:
    """The numbers before and after, both rankings, and the key to their colours; `refused`: there
    is a clean run alone."""
    after = " ".join(result.after)
    return {
        "numbers": _numbers(result),
        "clean": {
            "title": "Clean",
            "note": f"after {after}" if after else "",
            "rows": _rows(result, result.clean, result.clean_marked),
        },
        "ablated": {
            "title": "Ablated",
            "note": "cannot be made" if refused else _sites(result.ablated_sites),
            "rows": [] if refused else _rows(result, result.ablated, result.ablated_marked),
        },
        "key": [
            [mark, visible(score.text)]
            for mark, score in (("answer", result.answer), ("distractor", result.distractor))
            if score is not None
        ],
        "says": "▲▼ places risen or fallen against the clean run.",
    }


def _sites(n: int) -> str:
    return "nothing is switched off" if n == 0 else f"{n} site{'s' if n > 1 else ''} changed"


def _numbers(result: engine.NextToken) -> list[dict[str, str]]:
    notes = []
    if result.clean_logit_diff is not None and result.ablated_logit_diff is not None:
        notes.append(
            _number(
                "Logit difference",
                result.clean_logit_diff,
                result.ablated_logit_diff,
                signed,
                "logit(answer) − logit(distractor) where they first differ; positive is right",
            )
        )
    for name, score in (("answer", result.answer), ("distractor", result.distractor)):
        if score is None:
            continue
        several = len(score.ids) > 1
        notes.append(
            _number(
                f"P({visible(score.text)})",
                score.clean.prob,
                score.ablated.prob,
                percent,
                f"probability of the {name}"
                + (
                    f", {len(score.ids)} tokens together: {' '.join(score.tokens)}"
                    if several
                    else ""
                )
                + f"; log-probability {score.clean.log_prob:.3f} clean, "
                f"{score.ablated.log_prob:.3f} ablated",
                good=1 if name == "answer" else -1,
            )
        )
        if name == "answer":
            notes.append(
                _number(
                    "Rank of the answer",
                    score.clean.rank,
                    score.ablated.rank,
                    lambda rank: f"{rank:,}",
                    "1 is best; of the answer's token at the place that is compared",
                    good=-1,
                )
            )
    notes.append(
        {
            "name": "KL divergence",
            "now": f"{result.kl:.3f}",
            "was": "nats",
            "trend": "",
            "help": "KL(clean ‖ ablated) of the ranking below, in nats; 0 is no change",
        }
    )
    return notes


def _number(name: str, clean: Any, ablated: Any, write: Any, about: str, good: int = 1) -> dict:
    now, was = write(ablated), write(clean)
    better = good * (ablated - clean) > 0
    return {
        "name": name,
        "now": now,
        "was": f"clean {was}",
        "trend": "" if now == was else "better" if better else "worse",
        "help": about,
    }


def _rows(result: engine.NextToken, best: engine.Ranking, marked: engine.Ranking) -> list[dict]:
    """The best, then answer and distractor where they are not among them."""
    place, marks = len(result.after), {}
    for mark, score in (("distractor", result.distractor), ("answer", result.answer)):
        if score is not None and score.ids[place : place + 1]:
            marks[score.ids[place]] = mark
    lines = [(best, i) for i in range(len(best.ids))]
    lines += [
        (marked, i)
        for i in sorted(range(len(marked.ids)), key=lambda i: marked.ranks[i])
        if marked.ids[i] not in best.ids
    ]
    return [_row(ranking, i, marks, gap=ranking is marked) for ranking, i in lines]


def _row(ranking: engine.Ranking, i: int, marks: dict[int, str], gap: bool) -> dict[str, Any]:
    return {
        "id": int(ranking.ids[i]),
        "piece": ranking.tokens[i],
        "rank": f"{ranking.ranks[i]:,}",
        "token": visible(ranking.texts[i]),
        "prob": float(ranking.probs[i]),
        "percent": percent(float(ranking.probs[i])),
        "logit": f"{ranking.logits[i]:.3f}",
        "log_prob": f"{ranking.log_probs[i]:.3f}",
        "move": int(ranking.moves[i]),
        "mark": marks.get(int(ranking.ids[i]), ""),
        "gap": gap,
    }
