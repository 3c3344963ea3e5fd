"""Path patching: what a head or MLP does to chosen inputs directly, not by way of others.

Goldowsky-Dill et al. 2023, "Localizing Model Behavior with Path Patching"; Wang et al. 2022,
appendix B. A sender's output is replaced by its value in the corrupted run (or an average), while
every other component is frozen at its clean value; the receivers' activations are recomputed from
the inputs so changed, and put into a clean run, whose logit difference is read. A receiver reads
the residual stream, to which outputs are added, so with all else frozen its input changes by

    Δ = sender's output as replaced − sender's clean output,   before the receiver's norm,

and no pass need freeze anything but the receiver's own layer. What an effect does not show: what
the sender does by way of a third; and of two paths patched together not the sum of the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from ..errors import EngineError, ExperimentError
from ..experiment.ablations import Ablations
from ..experiment.change import Change
from ..experiment.experiment import Experiment
from ..experiment.sites import Head, Site
from ..model.model import Model
from ..model.worker import Steps
from ..passes import forward
from ..passes.forward import Capture, Row
from ..passes.hooks import Edit
from ..passes.prepare import prepare
from ..scoring.answers import Answers, answers_of
from ..scoring.scores import is_decided
from .receivers import Receiver

_TOKENS_A_STEP = 1_024
_ADDED = 0.02
"""By how much, relative to the stream, what is added to it may differ from how it grows."""


@dataclass(frozen=True)
class Path:
    """From one sender to a set of receivers, patched together."""

    sender: Site
    receivers: tuple[Receiver, ...]


def is_sequential(model: Model) -> bool:
    """Whether an MLP reads what the heads of its own layer write (else both read the same)."""
    return any(model.reaches("resid_mid", layer) for layer in range(model.shape.n_layers))


def patched(model: Model, e: Experiment, paths: Sequence[Path]) -> Steps[tuple[float, list[float]]]:
    """The logit difference of one experiment with each path patched, on the worker's thread.

    Paths are patched by the experiment's method, at its positions, and nothing else is changed;
    receivers a sender cannot reach are left alone. Returns: the clean logit difference, and that of
    each path, NaN where it reaches none.
    Raises: EngineError where answer and distractor are not told apart by a token, or the
    architecture has no direct paths.
    """
    answers = _decided(model, e)
    text = _Text(model, e, answers)
    senders = _together(dict.fromkeys(path.sender for path in paths))
    changes = [Change(Ablations(some), e.method, e.positions) for some in senders]
    prepared = yield from prepare(model, e, answers.prompt, changes)
    deltas = text.deltas(senders, prepared.by_change(len(text.ids)))
    result: list[float] = []
    for start, group in _grouped(paths, len(text.ids)):
        result += text.logit_diffs(group, deltas)
        yield (start + len(group)) / len(paths)
    return text.clean_diff, result


def _decided(model: Model, e: Experiment) -> Answers:
    answers = answers_of(model, e)
    if not is_decided(answers):
        raise ExperimentError(
            answers.notes[0]
            if answers.notes
            else "Path patching reads a logit difference: give an answer and a distractor."
        )
    return answers


def _together(senders: Iterable[Site]) -> list[tuple[Site, ...]]:
    """The senders that one row changes: with the heads of every layer held, what a layer's
    attention writes depends on them alone, so the same head of every layer; and the MLPs."""
    groups: dict[int | None, list[Site]] = {}
    for site in senders:
        groups.setdefault(site.head if isinstance(site, Head) else None, []).append(site)
    return [tuple(some) for some in groups.values()]


def _grouped(paths: Sequence[Path], n_tokens: int) -> Iterator[tuple[int, Sequence[Path]]]:
    each = max(1, _TOKENS_A_STEP // (4 * n_tokens))
    for start in range(0, len(paths), each):
        yield start, paths[start : start + each]


class _Text:
    """One text, the prompt and the tokens that answer and distractor share, with its clean run."""

    def __init__(self, model: Model, e: Experiment, answers: Answers) -> None:
        self.model, self.e, self.answers = model, e, answers
        self.ids = answers.prompt.ids + answers.after("answer")
        self._everywhere = tuple(range(len(self.ids)))
        self._end = self._everywhere[-1:]
        n = model.shape.n_layers
        names = ("resid_pre", "z", "attn_out", "resid_mid", "mlp_out", "resid_post")
        wanted = frozenset(
            (name, layer) for name in names for layer in range(n) if model.reaches(name, layer)
        )
        (clean,) = self._run([Row(self.ids, logits_at=self._end, captures=wanted)])
        self._clean = clean.captured
        self._check_added()
        self._freeze = {i: self._set("z", i) for i in range(n) if ("z", i) in self._clean}
        self.clean_diff = self._diff(clean.logits)

    def _run(self, rows: list[Row]) -> list[forward.RowResult]:
        return forward.run(self.model, rows) if rows else []

    def _set(self, name: str, layer: int) -> Edit:
        """An activation held at its clean value."""
        return Edit(name, layer, None, self._everywhere, self._clean[name, layer])

    def _check_added(self) -> None:
        """Refuse an architecture in which outputs are not added to the residual stream as they are:
        then no direct path is linear. Of a layer that has but heads or an MLP, as hybrids', the
        part up to the stream between the two, or from there, is looked at."""
        for layer in range(self.model.shape.n_layers):
            result = {n: value.float() for (n, i), value in self._clean.items() if i == layer}
            before, after = result["resid_pre"], result["resid_post"]
            if "attn_out" not in result:
                before = result.get("resid_mid", before)
            elif "mlp_out" not in result:
                after = result.get("resid_mid", after)
            parts = [result[name] for name in ("attn_out", "mlp_out") if name in result]
            away = (sum(parts, before) - after).norm()
            if parts and not away <= _ADDED * after.norm():
                raise EngineError(
                    f"{self.model.checkpoint.architecture} does not add what its heads and MLPs "
                    f"write to the residual stream as it is (layer {layer}), so there are no "
                    "direct paths to patch. Ablate heads and MLPs instead."
                )

    def deltas(
        self, groups: Sequence[tuple[Site, ...]], edits: Sequence[tuple[Edit, ...]]
    ) -> dict[Site, Tensor]:
        """How each sender's output changes in the residual stream, [pos d_model], by the edits of
        the senders that share a row."""
        rows, points = [], []
        for group, own in zip(groups, edits, strict=True):
            point = "attn_out" if isinstance(group[0], Head) else "mlp_out"
            held = list(self._freeze.values())
            if point == "mlp_out":
                held = [*held, *(self._set(point, s.layer) for s in group)]
            captures = frozenset((point, s.layer) for s in group)
            rows.append(Row(self.ids, (*held, *own), captures=captures))
            points.append(point)
        results: dict[Site, Tensor] = {}
        for point, group, result in zip(points, groups, self._run(rows), strict=True):
            for sender in group:
                at = (point, sender.layer)
                results[sender] = result.captured[at] - self._clean[at]
        return results

    def logit_diffs(self, paths: Sequence[Path], deltas: dict[Site, Tensor]) -> list[float]:
        """The logit difference with each path patched; NaN for one that reaches nothing."""
        reached = [
            [r for r in path.receivers if r.reads(path.sender, is_sequential(self.model))]
            for path in paths
        ]
        values = self._recomputed(paths, reached, deltas)
        rows = [
            Row(
                self.ids,
                tuple(self._patch(path.sender, r, values, deltas) for r in some),
                self._end,
            )
            for path, some in zip(paths, reached, strict=True)
        ]
        results = iter(self._run([row for row in rows if row.edits]))
        return [self._diff(next(results).logits) if row.edits else float("nan") for row in rows]

    def _recomputed(
        self, paths: Sequence[Path], reached: Sequence[list[Receiver]], deltas: dict[Site, Tensor]
    ) -> dict[tuple[Site, Capture], Tensor]:
        """What receivers make of their changed inputs, by sender, name and layer.

        The change joins the residual stream where the layer begins; with the layer's heads held,
        its MLP reads the clean stream and the change, and nothing else. In a layer that mixes
        tokens otherwise than by heads it joins where the MLP reads.
        """
        wanted: dict[tuple[Site, int], set[Capture]] = {}
        for path, some in zip(paths, reached, strict=True):
            for r in some:
                if r.layer is not None:
                    at = wanted.setdefault((path.sender, r.layer), set())
                    at.add((_NAMES[r.part], r.layer))
        rows = [
            Row(
                self.ids,
                self._joining(layer, deltas[sender]),
                captures=frozenset(names),
            )
            for (sender, layer), names in wanted.items()
        ]
        return {
            (sender, at): value
            for (sender, _), result in zip(wanted, self._run(rows), strict=True)
            for at, value in result.captured.items()
        }

    def _joining(self, layer: int, delta: Tensor) -> tuple[Edit, ...]:
        """A change of what a layer reads, with what mixes its tokens held.

        Raises: EngineError where that cannot be held.
        """
        if layer in self._freeze:
            change = Edit("resid_pre", layer, None, self._everywhere, delta, adds=True)
            return change, self._freeze[layer]
        if not self.model.reaches("resid_mid", layer):
            raise EngineError(
                f"Layer {layer} of {self.model.checkpoint.architecture} mixes tokens in a way that "
                f"cannot be held here, so no path to m{layer} is a direct one."
            )
        return (Edit("resid_mid", layer, None, self._everywhere, delta, adds=True),)

    def _patch(
        self,
        sender: Site,
        receiver: Receiver,
        values: dict[tuple[Site, Capture], Tensor],
        deltas: dict[Site, Tensor],
    ) -> Edit:
        last = self.model.shape.n_layers - 1
        if receiver.layer is None:
            delta = deltas[sender]
            return Edit("resid_post", last, None, self._everywhere, delta, adds=True)
        at = (_NAMES[receiver.part], receiver.layer)
        value = values[sender, at]
        if receiver.head is None:
            return Edit(*at, None, self._everywhere, value)
        s = self.model.shape
        shared = 1 if receiver.part == "q" else s.n_heads // s.n_key_value_heads
        head = receiver.head // shared
        return Edit(*at, (head,), self._everywhere, value[:, head : head + 1])

    def _diff(self, logits: Tensor) -> float:
        at = self.answers.decided
        answer, distractor = self.answers.answer[at], self.answers.distractor[at]
        return float(logits[0, answer].double() - logits[0, distractor].double())


_NAMES = {"q": "q", "k": "k", "v": "v", "mlp": "mlp_out"}
"""A receiver's part → the activation that is recomputed from its input."""
