"""The trial of a model: every kind of place changed and compared with a plain hook, and more.

A plain hook acts in a whole pass of the model, nothing skipped, each row from the first layer on; a
few rows are also read alone. Against it stand the ways the engine runs a model: rows that join a
pass late, blocks called one at a time, and tokens read behind a cache. What fails is refused by
name; where only late joining fails, rows are read whole from then on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version

import torch
from torch import Tensor

from ..errors import EngineError, ModelError
from ..model.model import Model
from ..model.places import NAMES, SOFTMAX
from ..model.worker import finished
from ..passes import forward
from ..passes.decoding import Decoding
from ..passes.growing import Branch, base, grown
from ..passes.hooks import Edit
from ..passes.pace import Pace
from ..passes.points import Capture, by_place, passing
from .results import Certificate, Check, PlaceCheck

_PLACES = tuple(name for name in NAMES if name not in ("attn_scores", "ln_final"))
_LIMITS = {torch.float32: 2e-4}
_COARSE = 0.05
"""Of the coarser dtypes, whose kernels round differently."""
_VERSIONS = ("torch", "transformers", "transformer_lens")
_TOKENS = 4


@dataclass(frozen=True)
class _Change:
    """One place of one layer forced to random numbers in one of the texts."""

    at: Capture
    text: int
    value: Tensor

    @property
    def edit(self) -> Edit:
        name, layer = self.at
        n = self.value.shape[0]
        index = tuple(range(self.value.shape[1])) if self.value.ndim > 2 else None
        keys = n if name in SOFTMAX else None
        return Edit(name, layer, index, tuple(range(n)), self.value, keys=keys)


def certify(model: Model, going_on: Callable[[], None] = lambda: None) -> Certificate:
    """Try a model, on its worker's thread, and refuse in it what does not hold.

    Raises: ModelError where not even a plain reading of it holds.
    """
    try:
        return _certify(model, going_on)
    except EngineError:
        raise
    except Exception as wrong:
        raise ModelError(
            f"“{model.name}” ({model.checkpoint.architecture}) was read, but running it fails: "
            f"{_told(wrong)}"
        ) from wrong


def _certify(model: Model, going_on: Callable[[], None]) -> Certificate:
    began = time.monotonic()
    trial = _Trial(model)
    checks = [trial.weights(), trial.causal(), trial.clean(), trial.alone()]
    going_on()
    places = trial.places()
    if model.late_joining and trial.worst > trial.limit:
        model.late_joining = False
        whole = trial.places()
        if [p.holds for p in whole] == [p.holds for p in places]:
            model.late_joining = True  # it is not the joining that fails
        else:
            places = whole
    checks.append(trial.shared())
    _refuse(model, places)
    going_on()
    parts = (trial.parts_of_heads(), trial.between(), trial.added())
    checks += [one for one in parts if one is not None]
    going_on()
    blocks = trial.block_by_block()
    if not blocks.holds and model.by_row - model.tiled:
        model.tiled = model.by_row  # what is made row by row does not broadcast here
        blocks = trial.block_by_block()
    checks += [trial.cached(), blocks]
    model.refusals |= {c.name: c.why for c in checks if not c.holds}
    for name in ("q", "k", "v") if "parts of heads" in model.refusals else ():
        _refuse_kind(model, name, model.refusals["parts of heads"])
    if "between" in model.refusals:
        _refuse_kind(model, "resid_mid", model.refusals["between"])
    model.store.clear()
    model.certificate = Certificate(
        model=model.name,
        architecture=model.checkpoint.architecture,
        dtype=str(model.dtype).removeprefix("torch."),
        kernel=model.kernel,
        places=places,
        checks=tuple(checks),
        absent=tuple(n for n in _PLACES if not any(p.name == n for p in places)),
        versions=tuple((name, version(name)) for name in _VERSIONS),
        seconds=time.monotonic() - began,
    )
    found: Certificate = model.certificate
    return found


class _Trial:
    """What is tried of one model, on two texts."""

    def __init__(self, model: Model) -> None:
        s = model.shape
        n = min(_TOKENS, s.n_ctx or _TOKENS)
        self.model = model
        self.texts = [tuple((a + b * i) % s.d_vocab for i in range(n)) for a, b in ((1, 1), (3, 7))]
        self.n = n
        self.limit = _LIMITS.get(model.dtype, _COARSE)
        self.worst = 0.0
        self._random = torch.Generator().manual_seed(0)
        self._clean = [self._plainly([(text, None)])[0] for text in (0, 1)]
        self._seen = self._see()
        self._changes = {at: self._change(at, i % 2) for i, at in enumerate(self._tried())}
        self._meant: dict[tuple[Capture, int], Tensor] = {}

    def weights(self) -> Check:
        """Whether every weight is a number."""
        bad = next((name for name, p in self.model.hf.named_parameters() if not _finite(p)), None)
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
            found = [result.logits for result in forward.run(self.model, rows)]
        except EngineError:
            raise
        except Exception:  # of whatever kind: rows are then read whole
            self.model.late_joining = False
            found = [result.logits for result in forward.run(self.model, rows)]
        off = max(_off(a, b) for a, b in zip(found, self._clean, strict=True))
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
        off = _off(logits[:-1], self._clean[0][:-1]) if self.n > 1 else 0.0
        if not off <= self.limit:
            raise ModelError(
                f"{self.model.checkpoint.architecture} reads both ways: a later token changes what "
                "it says before it, so what it says is no next token, and it is not shown."
            )
        return Check("reads left to right", off, self.limit)

    def alone(self) -> Check:
        """Rows of one pass, changed in the middle, against each of them alone."""
        layer = self.model.shape.n_layers // 2
        tried = [at for at in self._tried() if at[0] in ("z", "mlp_out", "q")]
        change = self._changes[min(tried, key=lambda at: abs(at[1] - layer))]
        other = 1 - change.text
        together = self._plainly([(other, None), (change.text, change)])
        alone = [self._clean[other], *self._plainly([(change.text, change)])]
        off = max(map(_off, together, alone))
        if not off <= self.limit:
            raise ModelError(
                f"In {self.model.checkpoint.architecture} rows that share a pass change each "
                "other's numbers, so it is not shown rather than shown wrongly."
            )
        return Check("alone and together", off, self.limit)

    def places(self) -> tuple[PlaceCheck, ...]:
        """Every kind of place, at the first, middle and last layer that has it."""
        changes = list(self._changes.values())
        rows = [forward.Row(self.texts[c.text], (c.edit,), tuple(range(self.n))) for c in changes]
        try:
            shared = [result.logits for result in forward.run(self.model, rows)]
            reads = self._reads()
        except Exception:  # of whatever kind: rows are then read whole
            if not self.model.late_joining:
                raise
            self.model.late_joining = False
            return self.places()
        plain = self._changed(changes)
        found: list[PlaceCheck] = []
        worst = 0.0
        for name in _PLACES:
            mine = [one for one in zip(changes, shared, plain, strict=True) if one[0].at[0] == name]
            if not mine:
                continue
            edits, moves = 0.0, float("inf")
            for change, logits, meant in mine:
                edits = max(edits, _off(logits, meant))
                moves = min(moves, _off(meant, self._clean[change.text]))
            layers = tuple(change.at[1] for change, *_ in mine)
            read = max(reads[name, layer] for layer in layers)
            why = ""
            if not (edits <= self.limit and read <= self.limit):
                why = "a change of it is not what a plain hook makes of it"
            elif not moves > 0:
                why = "a change of it moves nothing"
            worst = max(worst, edits, read)
            found.append(PlaceCheck(name, layers, read, edits, moves, why))
        self.worst = worst
        return tuple(found)

    def shared(self) -> Check:
        """Rows that share a pass, as the engine has them, against plain hooks: those places that
        hold anyway."""
        how = "join late" if self.model.late_joining else "are read whole"
        return Check(f"rows {how}", min(self.worst, self.limit), self.limit)

    def parts_of_heads(self) -> Check | None:
        """A head's query moves its own pattern alone, a key the patterns of the heads that share
        it, a value none."""
        s, limit = self.model.shape, self.limit
        layer = next((i for n, i in self._tried() if n == "q"), None)
        if layer is None or not self.model.reaches("pattern", layer) or self.n < 2:
            return None
        shared, worst = s.n_heads // s.n_key_value_heads, 0.0
        everywhere, at = tuple(range(self.n)), ("pattern", layer)
        edits, owners = [], []
        for name in ("q", "k", "v"):
            if not self.model.reaches(name, layer):
                continue
            # turned round it keeps its length, so that a norm over all heads is as it was
            value = -self._seen[name, layer][0]
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
            worst = max([worst, *(_off(pattern[h], clean[h]) for h in others)])
            if any(_off(pattern[h], clean[h]) <= 1e-6 for h in own):
                worst = float("inf")
        why = "" if worst <= limit else "they are not where they are looked for in the projection"
        return Check("parts of heads", worst, limit, why)

    def between(self) -> Check | None:
        """The stream between attention and MLP changed there, and by what attention adds to it."""
        layer = next((i for n, i in self._tried() if n == "resid_mid"), None)
        if layer is None or not self.model.reaches("attn_out", layer):
            return None
        value = self._value("resid_mid", layer, 0)
        ids, everywhere = self.texts[0], tuple(range(self.n))
        change = value - self._seen["resid_mid", layer][0]
        rows = [
            forward.Row(ids, (Edit("resid_mid", layer, None, everywhere, value),), everywhere),
            forward.Row(
                ids, (Edit("attn_out", layer, None, everywhere, change, adds=True),), everywhere
            ),
        ]
        mid, added = (result.logits for result in forward.run(self.model, rows))
        off = _off(mid, added)
        why = "" if off <= self.limit else "the block does not go on from it as it is"
        return Check("between", off, self.limit, why)

    def added(self) -> Check | None:
        """Whether what heads and MLP write is what is added to the stream."""
        worst, tried = 0.0, False
        for layer in sorted({i for _, i in self._tried()}):
            names = ("resid_pre", "attn_out", "mlp_out", "resid_post")
            if all((name, layer) in self._seen for name in names):
                pre, attn, mlp, post = (self._seen[name, layer][0].float() for name in names)
                worst, tried = max(worst, _off(pre + attn + mlp, post)), True
        if not tried:
            return None
        why = (
            ""
            if worst <= 10 * self.limit
            else ("what heads and MLPs write is not added to the residual stream as it is")
        )
        return Check("adds up", worst, 10 * self.limit, why)

    def cached(self) -> Check:
        """Tokens read one by one behind a cache, clean and changed, against one plain pass."""
        model, n = self.model, self.n
        changes = [self._changes[at] for at in self._tried() if at[0] in ("z", "mlp_out")]
        rows: list[tuple[int, _Change | None]] = [(0, None), *((c.text, c) for c in changes)]
        try:
            decoding, found = Decoding(model), []

            def edits(first: int, stop: int) -> list[tuple[Edit, ...]]:
                return [() if c is None else (_within(c.edit, first, stop),) for _, c in rows]

            ids = torch.tensor([self.texts[text] for text, _ in rows], device=model.device)
            start = max(1, n - 2)
            for part in ids.split([start] + [1] * (n - start), dim=1):
                found.append(decoding.read(part, edits, part.shape[1]))
            logits = torch.cat(found, 1)
            plain = [self._clean[0], *self._changed(changes)]
            off = max(map(_off, logits, plain))
            why = "" if off <= self.limit else "other numbers come out token by token"
        except Exception as wrong:  # of whatever kind: then it does not generate
            off, why = float("inf"), _told(wrong)
        return Check("cached", off, self.limit, why)

    def block_by_block(self) -> Check:
        """Blocks called one at a time on rows that set out late, against plain hooks."""
        model = self.model
        changes = [self._changes[at] for at in self._tried() if at[0] in ("z", "mlp_out", "post")]
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
            found = forward.unembed(model, leaving[:, 0])
            plain = self._changed(changes)
            off = max(_off(one, meant[-1]) for one, meant in zip(found, plain, strict=True))
            why = "" if off <= self.limit else "other numbers come out block by block"
        except Exception as wrong:  # of whatever kind: then it is not swept
            off, why = float("inf"), f"its blocks cannot be called one by one ({_told(wrong)})"
        return Check("block by block", off, self.limit, why)

    def _tried(self) -> Iterator[Capture]:
        for name in _PLACES:
            layers = [i for i in range(self.model.shape.n_layers) if self.model.reaches(name, i)]
            if layers:
                for layer in sorted({layers[0], layers[len(layers) // 2], layers[-1]}):
                    yield name, layer

    def _changed(self, changes: Sequence[_Change]) -> list[Tensor]:
        """Logits [pos d_vocab] of texts with each of these changes, by plain hooks."""
        new = [c for c in changes if (c.at, c.text) not in self._meant]
        if new:
            found = self._plainly([(c.text, c) for c in new])
            self._meant |= {(c.at, c.text): one for c, one in zip(new, found, strict=True)}
        return [self._meant[c.at, c.text] for c in changes]

    def _plainly(self, rows: Sequence[tuple[int, _Change | None]]) -> list[Tensor]:
        """Logits [pos d_vocab] of each row, a text with one change or none, in a whole pass."""
        ids = torch.tensor([self.texts[text] for text, _ in rows], device=self.model.device)
        edits = [() if change is None else (change.edit,) for _, change in rows]
        with passing(self.model, self.n, by_place(edits)):
            return list(self.model(ids).float())

    def _see(self) -> Mapping[Capture, list[Tensor]]:
        """What plain hooks see at every place tried, of each text."""
        seen: dict[Capture, list[Tensor]] = {at: [] for at in self._tried()}

        def looking(at: Capture) -> Callable[[Tensor], None]:
            return lambda activation: seen[at].extend(row.clone() for row in activation)

        with passing(self.model, self.n, {}, {at: looking(at) for at in seen}):
            self.model(torch.tensor(self.texts, device=self.model.device))
        return seen

    def _reads(self) -> dict[Capture, float]:
        """How far what a shared pass sees is from what plain hooks see."""
        rows = [forward.Row(ids, captures=frozenset(self._seen)) for ids in self.texts]
        results = forward.run(self.model, rows)
        return {
            at: max(_off(r.captured[at], one) for r, one in zip(results, seen, strict=True))
            for at, seen in self._seen.items()
        }

    def _value(self, name: str, layer: int, text: int) -> Tensor:
        """Random numbers the size of what is there: [pos …], a pattern's [query head key]."""
        seen = self._seen[name, layer][text].float()
        noise = torch.randn(tuple(seen.shape), generator=self._random).to(seen.device)
        value = noise * seen.std().clamp_min(1e-3)
        return value.transpose(0, 1) if name in SOFTMAX else value

    def _change(self, at: Capture, text: int) -> _Change:
        return _Change(at, text, self._value(*at, text))


def _within(edit: Edit, first: int, stop: int) -> Edit:
    """An edit's part for reading positions `first` to before `stop`, counted from `first`."""
    assert isinstance(edit.value, Tensor)
    return replace(edit, positions=tuple(range(stop - first)), value=edit.value[first:stop])


def _refuse(model: Model, places: tuple[PlaceCheck, ...]) -> None:
    for place in places:
        if not place.holds:
            _refuse_kind(model, place.name, place.why)


def _refuse_kind(model: Model, name: str, why: str) -> None:
    model.refused |= {(name, layer): why for layer in range(model.shape.n_layers)}


def _finite(parameter: Tensor) -> bool:
    if not (parameter.is_floating_point() and parameter.numel()):
        return True
    if torch.isfinite(parameter.sum()):
        return True
    least, most = torch.aminmax(parameter)  # a sum of numbers may overflow
    return bool(torch.isfinite(least) and torch.isfinite(most))


def _off(found: Tensor, meant: Tensor) -> float:
    """How far two tensors are apart, as a share of the second's size."""
    size = float(meant.float().norm())
    return float((found.float() - meant.float()).norm()) / max(size, 1e-6)


def _told(wrong: Exception) -> str:
    said = str(wrong).strip()[:160]
    return said if isinstance(wrong, EngineError) else f"{type(wrong).__name__}: {said}"
