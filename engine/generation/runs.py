"""What runs made of a step, of a prompt, of an answer: what results of generation are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..experiment.results import Ranking
from ..showing.writing import Rows


@dataclass(frozen=True)
class StepRun:
    """One token of one run, and what the model said before it was taken.

    `token_id`, `token` (raw piece), `text` (what it adds to the text). `log_prob` (natural
    logarithm), `prob` (0 to 1) and `rank` (1 is best) are of the token taken, by the model's own
    distribution: temperature, top-k and top-p change what is taken, not what is shown. `entropy`
    of that distribution in nats, 0 to ln(d_vocab). `top`: the best tokens; its `moves` tell how
    many places a token stands higher here than in the clean run at the same step, in the clean run
    than in the ablated one (0 once that run has ended). `forced`: the token was given, not taken.
    `ends`: it is the tokenizer's end of text, and the run's last.
    `retokenizes`: tokenizing the prompt with everything generated up to here would give other
    ids (not judged inside a character of several bytes). `rewritten`: all the ids of that text,
    the prompt's too, where `retokenize` has put them in the place of those there were. `note`: a
    sentence where the tokenizer has no token of this id, so that it has no text; else empty.
    """

    token_id: int
    token: str
    text: str
    log_prob: float
    prob: float
    rank: int
    entropy: float
    top: Ranking
    forced: bool = False
    ends: bool = False
    retokenizes: bool = False
    rewritten: tuple[int, ...] | None = None
    note: str = ""


@dataclass(frozen=True)
class Step:
    """One step of generation, clean and ablated.

    `index` counts from 0 after the prompt, forced tokens included. `clean` and `ablated` are None
    once that run has ended. `parted`: their ids differ, here or earlier. `kl`: divergence of the
    ablated distribution from the clean one, KL(clean ‖ ablated) in nats; None once they have read
    different texts or one has ended. `unswitched`: the ablated run as it goes on where the last
    switch is not made; None without a switch, and once it has ended.
    """

    index: int
    clean: StepRun | None
    ablated: StepRun | None
    parted: bool
    kl: float | None
    unswitched: StepRun | None = None

    def table(self) -> Rows:
        """Of each run the token taken, then the best there were: one row a token.

        `kind` is “taken” or “top”, and what belongs to the step as a whole (entropy and KL
        divergence in nats, whether the runs have parted) stands with the token taken. `move`: how
        many places it stands higher than in the clean run, and there than in the ablated.
        """
        rows: Rows = []
        for name in ("clean", "ablated", "unswitched"):
            run = getattr(self, name)
            if run is None:
                continue
            whole: dict[str, object] = {
                "entropy": run.entropy,
                "kl": "" if self.kl is None else float(self.kl),
                "parted": self.parted,
                "forced": run.forced,
                "ends": run.ends,
                "retokenizes": run.retokenizes,
                "rewritten": " ".join(map(str, run.rewritten or ())),
                "note": run.note,
            }
            of = {"step": self.index, "run": name}
            rows.append(
                {
                    **of,
                    "kind": "taken",
                    "rank": int(run.rank),
                    "token_id": run.token_id,
                    "piece": run.token,
                    "text": run.text,
                    "log_prob": run.log_prob,
                    "prob": run.prob,
                    "move": "",
                    **whole,
                }
            )
            top = run.top
            rows += [
                {
                    **of,
                    "kind": "top",
                    "rank": int(top.ranks[i]),
                    "token_id": int(top.ids[i]),
                    "piece": top.tokens[i],
                    "text": top.texts[i],
                    "log_prob": float(top.log_probs[i]),
                    "prob": float(top.probs[i]),
                    "move": int(top.moves[i]),
                    **dict.fromkeys(whole, ""),
                }
                for i in range(len(top.ids))
            ]
        return rows


@dataclass(frozen=True)
class Continuation:
    """What one run made of one prompt.

    `ids`, `tokens` (raw pieces) and `text` of what was generated. `log_prob`: their joint
    log-probability by the model's own distribution, natural logarithm. `ended`: the last of them
    is the end of text. `right`: the text begins with the expected answer, or the ids with those
    the answer gets in place (a word-level tokenizer has no token for a space), and does not go on
    with the same word or number; None where no answer is expected. `parts_at`: the first step at
    which it differs from the clean run; None where it never does. `retokenizes`: tokenizing the
    whole text would give other ids. `note`: a sentence where the tokenizer has no token of one of
    the ids, so that it has no text; else empty.
    """

    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    text: str
    log_prob: float
    ended: bool
    right: bool | None
    parts_at: int | None
    retokenizes: bool
    note: str = ""


@dataclass(frozen=True)
class Run:
    """One of the runs every prompt is put through.

    `name`: "clean", the name of an ablation set, or that of a control. `ablations`: what is
    changed, as written. `control_of`: the set whose random control it is, else empty.
    """

    name: str
    ablations: str
    control_of: str = ""


@dataclass(frozen=True)
class ManyRow:
    """One prompt in every run.

    `index`: its place among the prompts. `answer`: what is expected, or empty. `seed`: the one its
    tokens were drawn with. `continuations`: one for each of the runs, in their order; None where
    that run could not be done. `errors`: why, for each run, else empty.
    """

    index: int
    prompt: str
    answer: str
    seed: int
    continuations: tuple[Continuation | None, ...]
    errors: tuple[str, ...]


@dataclass(frozen=True)
class RunTotals:
    """What a run came to over all prompts.

    `judged`: prompts with an answer that were run. `right`: of these, how many were answered
    right; `share_right` is their share, 0 to 1, None where nothing could be judged. `compared`:
    prompts that were run here and clean; `share_same`: the share of these with the clean text.
    """

    run: Run
    judged: int
    right: int
    share_right: float | None
    compared: int
    share_same: float | None


@dataclass(frozen=True)
class AnswerScore:
    """A whole answer in one run, teacher-forced in one pass.

    `log_probs` [n_tokens]: of each token given the ones before it, natural logarithm; `log_prob`
    their sum, `prob` its exponential, 0 to 1. `rank`: its place among the candidates by
    `log_prob`, 1 is best. `share`: its part of the candidates' probability together, 0 to 1.
    """

    log_probs: Float[np.ndarray, " n_tokens"]
    log_prob: float
    prob: float
    rank: int
    share: float


@dataclass(frozen=True)
class RankedAnswer:
    """A candidate answer, clean and ablated.

    `ids` and `tokens` are those it gets in place. `retokenizes`: writing it after the prompt would
    change the prompt's own last tokens; it is then scored as tokens of its own. `move`: how many
    places it stands higher when ablated (positive: it rose). `error`: why it is not scored, else
    empty; the scores are then None.
    """

    text: str
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    retokenizes: bool
    clean: AnswerScore | None
    ablated: AnswerScore | None
    move: int
    error: str = ""
