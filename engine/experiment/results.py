"""Results: frozen values of numpy arrays, strings and numbers. No tensor leaves the engine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from .sites import Shape


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What is known of an answer by now. `progress`: how much of the work is done, 0 to 1."""

    progress: float

    @property
    def done(self) -> bool:
        """Whether all that was asked for is known."""
        return self.progress >= 1.0


@dataclass(frozen=True)
class Tokens:
    """A text as the model sees it, one entry a token.

    `ids`: vocabulary ids, BOS included where `bos` is true. `pieces`: the vocabulary's own names,
    the only lossless view (`Ġ5`, `▁`, `<0xF0>`). `texts`: what each token adds to the text, with
    `�` for part of a character. `offsets`: [start, end) in characters of `text`, (0, 0) for a
    token that stands for none. `warnings`: what would surprise, each with its remedy.
    """

    text: str
    ids: tuple[int, ...]
    pieces: tuple[str, ...]
    texts: tuple[str, ...]
    offsets: tuple[tuple[int, int], ...]
    bos: bool
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Ranking:
    """Tokens ranked by one run, best first.

    `ids`, `tokens` (raw pieces), `texts` (what each adds to the text), `logits`, `log_probs`
    (natural logarithm), `probs` (0 to 1, over the whole vocabulary even where the ranking is
    cut), `ranks` (1 is best; equal logits are ordered by id), `moves`: how many places the token
    stands higher here than in the twin run (positive: it rose here), all of shape [k].
    """

    ids: Int[np.ndarray, " k"]
    tokens: tuple[str, ...]
    texts: tuple[str, ...]
    logits: Float[np.ndarray, " k"]
    log_probs: Float[np.ndarray, " k"]
    probs: Float[np.ndarray, " k"]
    ranks: Int[np.ndarray, " k"]
    moves: Int[np.ndarray, " k"]


@dataclass(frozen=True)
class Score:
    """One answer in one run: its tokens in place after the prompt, teacher-forced in one pass.

    `log_probs`: of each token given the ones before it, natural logarithm, shape [n_tokens].
    `log_prob`: their sum; `prob` its exponential, 0 to 1. `logit` and `rank` (1 is best) are of the
    first token where answer and distractor differ (of the answer's first token that is not only a
    space, where there is no distractor; of the first, where one begins with the whole other).
    """

    log_probs: Float[np.ndarray, " n_tokens"]
    log_prob: float
    prob: float
    logit: float
    rank: int


@dataclass(frozen=True)
class Candidate:
    """An answer or a distractor, clean and ablated.

    `ids` and `tokens` are those it gets in place. `retokenizes` is true where writing it after
    the prompt would change the prompt's own last tokens; it is then scored as tokens of its own.
    """

    text: str
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    retokenizes: bool
    clean: Score
    ablated: Score


@dataclass(frozen=True)
class NextToken:
    """What comes next, clean and ablated.

    `after`: the pieces appended to the prompt before ranking (empty at the prompt's end; the
    tokens answer and distractor share when ranking at the answer). `clean_marked` and
    `ablated_marked` are the lines of the answer's and the distractor's token at that place,
    however low they rank. `clean_union` and `ablated_union` are those, in each run, of every token
    that is among the best of either, and of answer and distractor, best clean first.
    `clean_logit_diff` and `ablated_logit_diff`: logit(answer) − logit(distractor) at the first
    token where they differ, positive is right; None without both or where one begins with the whole
    of the other.
    `kl`: divergence of the ablated distribution from the clean one, KL(clean ‖ ablated) in nats.
    `notes`: what a reader must know, in sentences. `ablated_sites`: how many heads, MLPs and
    neurons were changed.
    """

    tokens: Tokens
    after: tuple[str, ...]
    clean: Ranking
    ablated: Ranking
    clean_marked: Ranking
    ablated_marked: Ranking
    clean_union: Ranking
    ablated_union: Ranking
    answer: Candidate | None
    distractor: Candidate | None
    clean_logit_diff: float | None
    ablated_logit_diff: float | None
    kl: float
    notes: tuple[str, ...]
    ablated_sites: int

    @property
    def marks(self) -> dict[int, str]:
        """Which of the ids that are ranked is the "answer", which the "distractor"."""
        place = len(self.after)
        named = (("distractor", self.distractor), ("answer", self.answer))
        return {one.ids[place]: name for name, one in named if one is not None and one.ids[place:]}

    def table(self) -> list[dict[str, object]]:
        """Every token of the union, a row each, best clean first: its figures in both runs, and its
        changes, ablated − clean; `moves`: the places it rose."""
        clean, ablated, marks = self.clean_union, self.ablated_union, self.marks
        return [
            {
                "token_id": int(clean.ids[i]),
                "piece": clean.tokens[i],
                "text": clean.texts[i],
                "mark": marks.get(int(clean.ids[i]), ""),
                "clean_rank": int(clean.ranks[i]),
                "ablated_rank": int(ablated.ranks[i]),
                "moves": int(ablated.moves[i]),
                **{
                    f"{run}_{name}": float(getattr(ranking, f"{name}s")[i])
                    for name in ("prob", "log_prob", "logit")
                    for run, ranking in (("clean", clean), ("ablated", ablated))
                },
                "prob_change": float(ablated.probs[i]) - float(clean.probs[i]),
                "log_prob_change": float(ablated.log_probs[i]) - float(clean.log_probs[i]),
            }
            for i in range(len(clean.ids))
        ]


@dataclass(frozen=True)
class ModelInfo:
    """A model that can be picked.

    `name`: what an Experiment calls it. `about`: one sentence. `bytes_needed`: memory its weights
    take in `dtype`, None where that is not known before loading. `shape` is None until loaded or
    where its config cannot be read; `bos`: whether its tokenizer prepends BOS by itself;
    `device` and `dtype` are None until it is loaded. `here`: whether its files are on this machine,
    so that it loads without a network.
    """

    name: str
    about: str
    architecture: str
    bytes_needed: int | None
    shape: Shape | None
    loaded: bool
    device: str | None = None
    dtype: str | None = None
    bos: bool | None = None
    here: bool = True


@dataclass(frozen=True)
class Activations:
    """Captured activations of one experiment, clean and ablated.

    Each maps `(name, layer)` to an array with the axes its name has in TransformerLens, without
    the batch axis: `resid_pre`, `resid_mid`, `resid_post`, `attn_out`, `mlp_out`
    [pos, d_model]; `q`, `k`, `v`, `z` [pos, head_index, d_head] (k and v have
    n_key_value_heads); `attn_scores`, `pattern` [head_index, query_pos, key_pos]; `post`
    [pos, d_mlp]; `ln_final` [pos, d_model] with layer n_layers. `logits` are [pos, d_vocab].
    """

    tokens: Tokens
    clean: dict[tuple[str, int], np.ndarray]
    ablated: dict[tuple[str, int], np.ndarray]
    clean_logits: Float[np.ndarray, "pos d_vocab"]
    ablated_logits: Float[np.ndarray, "pos d_vocab"]
