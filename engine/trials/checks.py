"""What is tried of a model, a method a check: each way the engine runs it against plain hooks."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from ..errors import EngineError, ModelError
from ..model.worker import finished
from ..passes import forward
from ..passes.decoding import Decoding
from ..passes.growing import Branch, base, grown
from ..passes.hooks import Edit
from ..passes.pace import Pace
from .readings import PLACES, Change, Readings, off_by
from .results import Check, PlaceCheck


class Checks(Readings):
    """What is tried of one model, on two texts."""

    def weights(self) -> Check:
        """Whether every weight is a number."""
        bad = next(
            (name for name, p in self.model.hf.named_parameters() if not _is_finite(p)), None
        )
        if bad is not None:
            raise ModelError(
                f"“{self.model.name}” has weights that are no numbers (in {bad}), so nothing it "
                "says would mean anything. Save it again."
            )
        return Check("weights are numbers", 0.0, 0.0)

    def clean(self) -> Check:
        """A shared pass against a plain one, and the kernel chosen against the family's own."""
        rows = [forward.Row(text, logits_at=tuple(range(self.n))) for text in self.texts]
        try:
            results = [result.logits for result in forward.run(self.model, rows)]
        except EngineError:
            raise
        except Exception:  # of whatever kind: rows are then read whole
            self.model.late_joining = False
            results = [result.logits for result in forward.run(self.model, rows)]
        off = max(off_by(a, b) for a, b in zip(results, self.clean_logits, strict=True))
        if not off <= self.limit:
            raise ModelError(
                f"{self.model.checkpoint.architecture} gives other numbers here than when "
                "transformers runs it whole, so it is not shown rather than shown wrongly."
            )
        return Check("clean runs", off, self.limit)

    def causal(self) -> Check:
        """Whether a later token changes what is said before it: then nothing is a next token."""
        other = (*self.texts[0][:-1], (self.texts[0][-1] + 1) % self.model.shape.d_vocab)
        self.model.rotaries.begin()
        logits = self.model(torch.tensor([other], device=self.model.device))[0].float()
        off = off_by(logits[:-1], self.clean_logits[0][:-1]) if self.n > 1 else 0.0
        if not off <= self.limit:
            raise ModelError(
                f"{self.model.checkpoint.architecture} reads both ways: a later token changes what "
                "it says before it, so what it says is no next token, and it is not shown."
            )
        return Check("reads left to right", off, self.limit)

    def alone(self) -> Check:
        """Rows of one pass, changed in the middle, against each of them alone."""
        layer = self.model.shape.n_layers // 2
        tried = [at for at in self.tried() if at[0] in ("z", "mlp_out", "q")]
        change = self.changes[min(tried, key=lambda at: abs(at[1] - layer))]
        other = 1 - change.text
        together = self.plainly([(other, None), (change.text, change)])
        alone = [self.clean_logits[other], *self.plainly([(change.text, change)])]
        off = max(map(off_by, together, alone))
        if not off <= self.limit:
            raise ModelError(
                f"In {self.model.checkpoint.architecture} rows that share a pass change each "
                "other's numbers, so it is not shown rather than shown wrongly."
            )
        return Check("alone and together", off, self.limit)

    def places(self) -> tuple[PlaceCheck, ...]:
        """Every kind of place, at the first, middle and last layer that has it."""
        changes = list(self.changes.values())
        rows = [forward.Row(self.texts[c.text], (c.edit,), tuple(range(self.n))) for c in changes]
        try:
            shared = [result.logits for result in forward.run(self.model, rows)]
            reads = self.reads()
        except Exception:  # of whatever kind: rows are then read whole
            if not self.model.late_joining:
                raise
            self.model.late_joining = False
            return self.places()
        plain = self.changed(changes)
        results: list[PlaceCheck] = []
        worst = 0.0
        for name in PLACES:
            mine = [one for one in zip(changes, shared, plain, strict=True) if one[0].at[0] == name]
            if not mine:
                continue
            edits, moves = 0.0, float("inf")
            for change, logits, meant in mine:
                edits = max(edits, off_by(logits, meant))
                moves = min(moves, off_by(meant, self.clean_logits[change.text]))
            layers = tuple(change.at[1] for change, *_ in mine)
            read = max(reads[name, layer] for layer in layers)
            why = ""
            if not (edits <= self.limit and read <= self.limit):
                why = "a change of it is not what a plain hook makes of it"
            elif not moves > 0:
                why = "a change of it moves nothing"
            worst = max(worst, edits, read)
            results.append(PlaceCheck(name, layers, read, edits, moves, why))
        self.worst = worst
        return tuple(results)

    def shared(self) -> Check:
        """Rows that share a pass, as the engine has them, against plain hooks: those places that
        hold anyway."""
        how = "join late" if self.model.late_joining else "are read whole"
        return Check(f"rows {how}", min(self.worst, self.limit), self.limit)

    def parts_of_heads(self) -> Check | None:
        """A head's query moves its own pattern alone, a key the patterns of the heads that share
        it, a value none."""
        s, limit = self.model.shape, self.limit
        layer = next((i for n, i in self.tried() if n == "q"), None)
        if layer is None or not self.model.reaches("pattern", layer) or self.n < 2:
            return None
        shared, worst = s.n_heads // s.n_key_value_heads, 0.0
        everywhere, at = tuple(range(self.n)), ("pattern", layer)
        edits, owners = [], []
        for name in ("q", "k", "v"):
            if not self.model.reaches(name, layer):
                continue
            # turned round it keeps its length, so that a norm over all heads is as it was
            value = -self.seen[name, layer][0]
            head = value.shape[1] - 1
            edits.append(Edit(name, layer, (head,), everywhere, value[:, head : head + 1]))
            owners.append(
                {"q": [head], "k": range(head * shared, (head + 1) * shared), "v": ()}[name]
            )
        rows = [
            forward.Row(self.texts[0], one, captures=frozenset({at}))
            for one in ((), *((edit,) for edit in edits))
        ]
        clean, *changed = (result.captured[at] for result in forward.run(self.model, rows))
        for pattern, own in zip(changed, owners, strict=True):
            others = [h for h in range(s.n_heads) if h not in own]
            worst = max([worst, *(off_by(pattern[h], clean[h]) for h in others)])
            if any(off_by(pattern[h], clean[h]) <= 1e-6 for h in own):
                worst = float("inf")
        why = "" if worst <= limit else "they are not where they are looked for in the projection"
        return Check("parts of heads", worst, limit, why)

    def between(self) -> Check | None:
        """The stream between attention and MLP changed there, and by what attention adds to it."""
        layer = next((i for n, i in self.tried() if n == "resid_mid"), None)
        if layer is None or not self.model.reaches("attn_out", layer):
            return None
        value = self.value_like("resid_mid", layer, 0)
        ids, everywhere = self.texts[0], tuple(range(self.n))
        change = value - self.seen["resid_mid", layer][0]
        rows = [
            forward.Row(ids, (Edit("resid_mid", layer, None, everywhere, value),), everywhere),
            forward.Row(
                ids, (Edit("attn_out", layer, None, everywhere, change, adds=True),), everywhere
            ),
        ]
        mid, added = (result.logits for result in forward.run(self.model, rows))
        off = off_by(mid, added)
        why = "" if off <= self.limit else "the block does not go on from it as it is"
        return Check("between", off, self.limit, why)

    def added(self) -> Check | None:
        """Whether what heads and MLP write is what is added to the stream."""
        worst, tried = 0.0, False
        for layer in sorted({i for _, i in self.tried()}):
            names = ("resid_pre", "attn_out", "mlp_out", "resid_post")
            if all((name, layer) in self.seen for name in names):
                pre, attn, mlp, post = (self.seen[name, layer][0].float() for name in names)
                worst, tried = max(worst, off_by(pre + attn + mlp, post)), True
        if not tried:
            return None
        why = (
            ""
            if worst <= 10 * self.limit
            else ("what heads and MLPs write is not added to the residual stream as it is")
        )
        return Check("adds up", worst, 10 * self.limit, why)

    def along(self) -> Check | None:
        """A direction added to what passes, taken out of it, or moved along as a feature is,
        against the same numbers put there by a plain hook."""
        tried = [at for at in self.tried() if at[0] in ("resid_pre", "mlp_out")]
        rows, plain = [], []
        ids, everywhere = self.texts[0], tuple(range(self.n))
        for at in tried:
            seen = self.seen[at][0].float()
            v = self.value_like(*at, 0)[0].float()
            axis, own = v / v.norm(), (seen @ v)[:, None] * v / v.square().sum()
            for edit, meant in (
                (Edit(*at, None, everywhere, v, adds=True), seen + v),
                (Edit(*at, None, everywhere, axis, projects=True), seen - own),
                (Edit(*at, None, everywhere, 0.0, moves=partial(torch.add, v)), seen + v),
            ):
                rows.append(forward.Row(ids, (edit,), everywhere))
                plain.append((0, Change(at, 0, meant.to(self.seen[at][0].dtype))))
        if not rows:
            return None
        results = [result.logits for result in forward.run(self.model, rows)]
        off = max(off_by(a, b) for a, b in zip(results, self.plainly(plain), strict=True))
        why = (
            "" if off <= self.limit else "what is added there is not what a plain hook makes of it"
        )
        return Check("along directions", off, self.limit, why)

    def cached(self) -> Check:
        """Tokens read one by one behind a cache, clean and changed, against one plain pass."""
        model, n = self.model, self.n
        changes = [self.changes[at] for at in self.tried() if at[0] in ("z", "mlp_out")]
        rows: list[tuple[int, Change | None]] = [(0, None), *((c.text, c) for c in changes)]
        try:
            decoding, result = Decoding(model), []

            def edits(first: int, stop: int) -> list[tuple[Edit, ...]]:
                return [() if c is None else (_within(c.edit, first, stop),) for _, c in rows]

            ids = torch.tensor([self.texts[text] for text, _ in rows], device=model.device)
            start = max(1, n - 2)
            for part in ids.split([start] + [1] * (n - start), dim=1):
                result.append(decoding.read(part, edits, part.shape[1]))
            logits = torch.cat(result, 1)
            plain = [self.clean_logits[0], *self.changed(changes)]
            off = max(map(off_by, logits, plain))
            why = "" if off <= self.limit else "other numbers come out token by token"
        except Exception as wrong:  # of whatever kind: then it does not generate
            off, why = float("inf"), reason_of(wrong)
        return Check("cached", off, self.limit, why)

    def block_by_block(self) -> Check:
        """Blocks called one at a time on rows that set out late, against plain hooks."""
        model = self.model
        changes = [self.changes[at] for at in self.tried() if at[0] in ("z", "mlp_out", "post")]
        if model.by_text:  # rows of one text
            changes = [replace(c, text=0) for c in changes]
        changes += changes if len(changes) == 1 else []  # of several rows, whatever there is
        changes.sort(key=lambda c: (c.at[1], c.text))
        read = sorted({c.text for c in changes})
        texts = [self.texts[text] for text in read]
        try:
            pace, last = Pace(model), (self.n - 1,)
            run = finished(base(model, pace, texts, [()] * len(texts), last))
            branches = [Branch(read.index(c.text), c.edit) for c in changes]
            leaving = finished(grown(model, pace, run, branches))
            result = forward.unembed(model, leaving[:, 0])
            plain = self.changed(changes)
            off = max(off_by(one, meant[-1]) for one, meant in zip(result, plain, strict=True))
            why = "" if off <= self.limit else "other numbers come out block by block"
        except Exception as wrong:  # of whatever kind: then it is not swept
            off, why = float("inf"), f"its blocks cannot be called one by one ({reason_of(wrong)})"
        return Check("block by block", off, self.limit, why)


def reason_of(wrong: Exception) -> str:
    """An error in a few words."""
    said = str(wrong).strip()[:160]
    return said if isinstance(wrong, EngineError) else f"{type(wrong).__name__}: {said}"


def _within(edit: Edit, first: int, stop: int) -> Edit:
    """An edit's part for reading positions `first` to before `stop`, counted from `first`."""
    assert isinstance(edit.value, Tensor)
    return replace(edit, positions=tuple(range(stop - first)), value=edit.value[first:stop])


def _is_finite(parameter: Tensor) -> bool:
    if not (parameter.is_floating_point() and parameter.numel()):
        return True
    if torch.isfinite(parameter.sum()):
        return True
    least, most = torch.aminmax(parameter)  # a sum of numbers may overflow
    return bool(torch.isfinite(least) and torch.isfinite(most))
