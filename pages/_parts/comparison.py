"""A next-token result as the plain data of the rankings component."""

from typing import Any

import engine
from pages._parts.text import percent, points, signed, token_text, visible


def comparison(result: engine.NextToken, refused: bool) -> dict[str, Any]:
    """The numbers before and after, every token among the best of either run, and the key to
    their colours; `refused`: there is a clean run alone."""
    after = " ".join(result.after)
    sites = "the change cannot be made" if refused else _sites(result.ablated_sites)
    return {
        "numbers": _numbers(result, not refused),
        "after": f"after {after}" if after else "",
        "sites": sites,
        "rows": [_row(line, not refused) for line in result.table()],
        "key": [
            [mark, visible(score.text)]
            for mark, score in (("answer", result.answer), ("distractor", result.distractor))
            if score is not None
        ],
        "says": "The best of either run; ▲▼ places risen or fallen, change is ablated − clean.",
    }


def _sites(n: int) -> str:
    return "nothing is switched off" if n == 0 else f"{n} site{'s' if n > 1 else ''} changed"


def _numbers(result: engine.NextToken, made: bool) -> list[dict[str, str]]:
    notes = []
    if result.clean_logit_diff is not None and result.ablated_logit_diff is not None:
        notes.append(
            _number(
                "Logit difference",
                result.clean_logit_diff,
                result.ablated_logit_diff,
                signed,
                "logit(answer) − logit(distractor) where they first differ; positive is right",
                made,
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
                made,
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
                    made,
                    good=-1,
                )
            )
    if made:
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


def _number(
    name: str, clean: Any, ablated: Any, write: Any, about: str, made: bool, good: int = 1
) -> dict[str, str]:
    now, was = write(ablated), write(clean)
    better = good * (ablated - clean) > 0
    return {
        "name": name,
        "now": now,
        "was": f"clean {was}" if made else "clean",
        "trend": "" if now == was else "better" if better else "worse",
        "help": about,
    }


def _row(line: dict[str, Any], made: bool) -> dict[str, Any]:
    """A token's line, from `NextToken.table`; without an ablated half where none is made."""
    return {
        "id": line["token_id"],
        "piece": line["piece"],
        "token": token_text(line["text"], line["piece"]),
        "mark": line["mark"],
        "clean": _half(line, "clean"),
        "ablated": _half(line, "ablated") if made else None,
        "move": line["moves"],
        "change": [line["prob_change"], points(line["prob_change"])],
        "log_change": [line["log_prob_change"], signed(line["log_prob_change"])],
    }


def _half(line: dict[str, Any], run: str) -> dict[str, Any]:
    return {
        "rank": line[f"{run}_rank"],
        "prob": line[f"{run}_prob"],
        "percent": percent(line[f"{run}_prob"]),
        "logit": f"{line[f'{run}_logit']:.3f}",
        "log_prob": f"{line[f'{run}_log_prob']:.3f}",
    }
