"""The best tokens of either run, in both: each with its own figures, however low it ranks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import engine
from tests.support.reference import Change, Reference, always
from tests.support.tiny_models import WORDS, Tiny

K = 3


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "gpt_neox", "opt"])
def test_the_table_is_the_plain_models_own_distributions(name: str, tiny: Tiny) -> None:
    directory = str(tiny(name))
    words = WORDS[:4]
    e = engine.Experiment(
        directory, " ".join(words), answer=f" {words[1]}", distractor=f" {words[2]}",
        ablations="0.1 m1",
    )  # fmt: skip
    result = engine.next_token(e, k=K)
    hf, ids = Reference(directory), result.tokens.ids
    everywhere = tuple(range(len(ids)))
    off = [Change(kind, layer, index, everywhere, always(torch.zeros(())))
           for kind, layer, index in (("head", 0, 1), ("mlp", 1, 0))]  # fmt: skip
    logits = [hf.logits(ids, changes)[-1].double() for changes in ((), off)]
    best = [set(one.topk(K).indices.tolist()) for one in logits]
    rows: list[dict[str, Any]] = result.table()
    marked = {id_: mark for id_, mark in result.marks.items()}
    assert {row["token_id"] for row in rows} == best[0] | best[1] | set(marked)
    assert set(marked.values()) == {"answer", "distractor"}
    for row in rows:
        token = row["token_id"]
        assert row["mark"] == marked.get(token, "")
        for run, one in zip(("clean", "ablated"), logits, strict=True):
            log_prob = float(one.log_softmax(-1)[token])
            np.testing.assert_allclose(row[f"{run}_logit"], float(one[token]), atol=1e-4)
            np.testing.assert_allclose(row[f"{run}_log_prob"], log_prob, atol=1e-4)
            np.testing.assert_allclose(row[f"{run}_prob"], np.exp(log_prob), atol=1e-4)
            margin = 1e-5
            least, most = (int((one > one[token] + d).sum()) + 1 for d in (margin, -margin))
            assert least <= row[f"{run}_rank"] <= most
        assert row["moves"] == row["clean_rank"] - row["ablated_rank"]
        assert row["prob_change"] == pytest.approx(row["ablated_prob"] - row["clean_prob"])
        change = row["ablated_log_prob"] - row["clean_log_prob"]
        assert row["log_prob_change"] == pytest.approx(change)
    ranks = [row["clean_rank"] for row in rows]
    assert ranks == sorted(ranks)


def test_nothing_changed_changes_nothing_and_the_whole_vocabulary_is_there_once() -> None:
    result = engine.next_token(engine.Experiment(prompt="1 2 3 4", answer=" 5"))
    rows: list[dict[str, Any]] = result.table()
    assert len(rows) == len(result.clean.ids) == len({row["token_id"] for row in rows})
    assert not any(row["moves"] or row["prob_change"] or row["log_prob_change"] for row in rows)
    assert [row["token_id"] for row in rows] == result.clean.ids.tolist()
