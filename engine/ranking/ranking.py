"""What comes next, clean and ablated: the ranking, and how answer and distractor fare."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..errors import ExperimentError
from ..experiment.experiment import Experiment
from ..experiment.method import prompt_only
from ..experiment.numbers import whole_or_none
from ..experiment.results import Candidate, NextToken, Ranking
from ..experiment.sites import HeadPart, Site
from ..model.model import Model
from ..model.threads import fitting
from ..model.worker import Steps
from ..passes import forward, ordering
from ..passes.hooks import ablated_sites
from ..passes.prepare import Prepared, prepare
from ..registry import model_of
from ..scoring.answers import Answers, answers_of
from ..scoring.scores import logit_diff, rows_of, score, text_with, texts_of

_MOST_SHARED = 4
"""Shared keys and values that are named one by one."""
_BEST = 10
"""Places of a ranking in which an id without a token is worth a sentence."""


def next_token(
    e: Experiment, k: int | None = None, at: str = "prompt", view: str | None = None
) -> NextToken:
    """Rank what comes next, with and without the experiment's ablations.

    `k` cuts the rankings (None ranks the whole vocabulary). `at` "prompt" ranks the token after
    the prompt; "answer" the one where answer and distractor differ, after the tokens they share
    (with an answer alone: its first token that is not only a space). `view` names whose question
    this is: a newer one from the same view replaces it.
    Returns: NextToken; its docstring gives units and signs.
    Raises: EngineError in words.
    """
    if at not in ("prompt", "answer"):
        raise ExperimentError(f"Ranking is done at the prompt or the answer, not at “{at}”.")
    k = whole_or_none(k, "k")
    if k is not None and k < 1:
        raise ExperimentError(f"A ranking of {k} tokens is empty; ask for at least 1.")
    model = model_of(e)
    return model.worker.submit(_steps(model, e, k, at), view=view).result()


def _steps(model: Model, e: Experiment, k: int | None, at: str) -> Steps[NextToken]:
    answers = answers_of(model, e)
    prepared = yield from prepare(model, e, answers.prompt)
    with fitting(model, 2 * sum(map(len, texts_of(answers)))):
        return _next_token(model, e, answers, prepared, k, at)


def _next_token(
    model: Model, e: Experiment, answers: Answers, prepared: Prepared, k: int | None, at: str
) -> NextToken:
    prompt, texts = answers.prompt, texts_of(answers)
    edits = [prepared.edits(len(text)) for text in texts]
    rows = rows_of(answers, [()] * len(texts)) + rows_of(answers, edits)
    results = forward.run(model, rows)
    n = len(texts)
    logits = [[r.logits for r in results[:n]], [r.logits for r in results[n:]]]

    after = answers.after(at)
    place = len(after)
    compared = torch.stack([part[text_with(answers, after)][place] for part in logits])
    log_probs = compared.log_softmax(-1)
    marked = [
        ids[place]
        for ids in (answers.answer, answers.distractor)
        if ids[:place] == after and ids[place:]
    ]
    before = prompt.ids + after
    rankings = _rankings(model, before, compared, log_probs, k, list(dict.fromkeys(marked)))
    both = [
        _candidate(model, answers, text, ids, moves, logits)
        for text, ids, moves in (
            (e.answer, answers.answer, answers.moves[0]),
            (e.distractor, answers.distractor, answers.moves[1]),
        )
    ]
    diffs = [
        logit_diff(answers, *(getattr(c, run) if c is not None else None for c in both))
        for run in ("clean", "ablated")
    ]
    log_p, log_q = log_probs
    return NextToken(
        tokens=prompt,
        after=model.tokenizer.pieces(after),
        clean=rankings[0],
        ablated=rankings[1],
        clean_marked=rankings[2],
        ablated_marked=rankings[3],
        clean_union=rankings[4],
        ablated_union=rankings[5],
        answer=both[0],
        distractor=both[1],
        clean_logit_diff=diffs[0],
        ablated_logit_diff=diffs[1],
        kl=max(0.0, float((log_p.exp() * (log_p - log_q)).sum())),
        notes=(
            *answers.notes,
            *_change_notes(model, e, answers, prepared),
            *_without_text(model, rankings[:2]),
        ),
        ablated_sites=len(_changed_sites(model, e)) if any(edits) else 0,
    )


def _rankings(
    model: Model,
    before: tuple[int, ...],
    logits: Tensor,
    log_probs: Tensor,
    k: int | None,
    marked: list[int],
) -> list[Ranking]:
    """The k best of both runs, the lines of the marked ids in both, then those of all of these.

    `before`: the ids they come after. `logits` and `log_probs`: [2 d_vocab], clean and ablated.
    """
    best = ordering.best(logits, k)
    chosen = torch.tensor(marked, dtype=torch.long, device=logits.device)
    n = best.shape[1]
    every = torch.cat([*best, chosen])
    ranks = ordering.ranks(logits, every.expand(2, -1))
    at = torch.arange(len(every), device=every.device)
    once = np.unique(every.cpu().numpy(), return_index=True)[1]
    union = torch.from_numpy(once).to(every.device)
    union = union[ranks[0, union].argsort()]
    plain = every[union].tolist()
    pieces = dict(zip(plain, model.tokenizer.pieces(plain), strict=True))
    texts = dict(zip(plain, model.tokenizer.each_text(plain, before), strict=True))
    result = []
    for run, part in (
        (0, at[:n]),
        (1, at[n : 2 * n]),
        (0, at[2 * n :]),
        (1, at[2 * n :]),
        (0, union),
        (1, union),
    ):
        ids, own, other = every[part], ranks[run, part], ranks[1 - run, part]
        result.append(
            Ranking(
                ids=ids.cpu().numpy(),
                tokens=tuple(pieces[i] for i in ids.tolist()),
                texts=tuple(texts[i] for i in ids.tolist()),
                logits=logits[run][ids].cpu().numpy(),
                log_probs=log_probs[run][ids].cpu().numpy(),
                probs=log_probs[run][ids].exp().cpu().numpy(),
                ranks=own.cpu().numpy(),
                moves=(other - own).cpu().numpy(),
            )
        )
    return result


def _without_text(model: Model, rankings: list[Ranking]) -> list[str]:
    """What a reader must know of ids among the best that the tokenizer has no token for."""
    best = [int(i) for ranking in rankings for i in ranking.ids[:_BEST]]
    note = model.tokenizer.without_text(best)
    return [note] if note else []


def _candidate(
    model: Model,
    answers: Answers,
    text: str,
    ids: tuple[int, ...],
    retokenizes: bool,
    logits: list[list[Tensor]],
) -> Candidate | None:
    if not ids:
        return None
    clean, ablated = (score(answers, ids, part) for part in logits)
    return Candidate(text, ids, model.tokenizer.pieces(ids), retokenizes, clean, ablated)


def _change_notes(model: Model, e: Experiment, answers: Answers, prepared: Prepared) -> list[str]:
    """What a reader must know of the methods and of where they act."""
    notes = []
    changes = e.every_change
    longer = max(len(answers.answer), len(answers.distractor)) > 1
    late = [one for one in changes if one.positions.which == "generated"]
    if late and not longer and len(late) == len(changes):
        notes.append("Positions are “generated”: nothing in the prompt itself is changed.")
    elif not longer:
        notes += [f"“{one}” changes nothing in the prompt itself." for one in late]
    else:
        notes += prompt_only([one.becomes for one in changes], "after it")
    for method, texts in prepared.references.items():
        notes.append(
            f"{method} over {len(texts)} reference prompt{'s' if len(texts) > 1 else ''}, "
            f"{sum(map(len, texts))} tokens in all."
        )
    return notes + _shared_heads(model, e)


def _changed_sites(model: Model, e: Experiment) -> tuple[Site, ...]:
    """Every site that is changed, once."""
    each = [ablated_sites(change.sites, model.shape) for change in e.every_change]
    return tuple(dict.fromkeys(site for sites in each for site in sites))


def _shared_heads(model: Model, e: Experiment) -> list[str]:
    """Which other heads a changed key or value is of, where query heads share it; many in one."""
    shared = model.shape.n_heads // model.shape.n_key_value_heads
    sites = [
        site
        for site in _changed_sites(model, e)
        if isinstance(site, HeadPart) and site.part in ("k", "v")
    ]
    if shared == 1 or not sites:
        return []
    if len(sites) > _MOST_SHARED:
        return [
            f"Each {shared} heads of a layer share their keys and values in this model: changing "
            "those of one changes them for all of its group."
        ]
    notes = []
    for site in sites:
        first = site.head - site.head % shared
        name = {"k": "key", "v": "value"}[site.part]
        to = "and" if shared == 2 else "to"
        notes.append(
            f"{site} is the {name} of a key-value head that heads {site.layer}.{first} {to} "
            f"{site.layer}.{first + shared - 1} share."
        )
    return notes
