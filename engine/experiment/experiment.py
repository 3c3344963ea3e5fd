"""An experiment is a value: what is asked of which model, with what switched off and how.

Because it is a value it is the cache key, the link to a view, the JSON to save and the Python
to copy. Only what differs from the defaults is written, and every form reads back equal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from ..errors import EngineError, ExperimentError, LinkError
from .ablations import Ablations, AsAblations, ablations
from .change import AsChanges, Change, changes
from .direction import AsDirections, Direction, directions
from .method import AsMethod, Method, parse_ablation
from .parsed import Parsed, field
from .positions import AsPositions, Positions
from .sae import AsSaes, Sae, saes

MOST_TEXT = 200_000
"""Characters the texts of an experiment may have together."""
MOST_WRITTEN = 20 * MOST_TEXT
"""Characters a link or a JSON text may have: a character is up to 12 in a link."""
MOST_REFERENCES = 1_000


@dataclass(frozen=True)
class Experiment:
    """What is asked: a model, a prompt, and what is switched off or changed otherwise.

    `model` is a bundled name, a hub name or a directory. `answer` and `distractor` are scored in
    place, after the prompt, so a leading space belongs to them. `corrupted` is the prompt whose
    activations `resample` uses; `references` are the prompts whose averages `mean` and
    `mean_by_position` use (the corrupted prompt alone, if there are none). `prepend_bos` None
    means what the tokenizer does by itself. `ablations`, `method` and `positions` are the short
    form of one change; `changes` are further ones, each written as in `"scale(0.5) m2 @3"`, and
    made in their order after it. `vectors` are the directions that `add` and `project` name, `saes`
    the sparse autoencoders whose features are named, one of a layer.
    Raises: ExperimentError or SiteError for a field that cannot be read.
    """

    model: str = "seq-gpt2"
    prompt: str = ""
    corrupted: str = ""
    answer: str = ""
    distractor: str = ""
    ablations: Parsed[Ablations, AsAblations] = field(default_factory=Ablations)
    method: Parsed[Method, AsMethod] = field(default_factory=Method)
    positions: Parsed[Positions, AsPositions] = field(default_factory=Positions)
    references: Parsed[tuple[str, ...], Iterable[str]] = field(default=())
    prepend_bos: bool | None = None
    changes: Parsed[tuple[Change, ...], AsChanges] = field(default=())
    vectors: Parsed[tuple[Direction, ...], AsDirections] = field(default=())
    saes: Parsed[tuple[Sae, ...], AsSaes] = field(default=())

    def __post_init__(self) -> None:
        for name, parse in (
            ("ablations", ablations),
            ("method", parse_ablation),
            ("positions", Positions.parse),
            ("changes", changes),
            ("vectors", directions),
            ("saes", saes),
        ):
            object.__setattr__(self, name, parse(getattr(self, name)))
        if isinstance(self.references, str):
            raise ExperimentError("`references` is a list of prompts, not one text.")
        if not isinstance(self.references, Iterable):
            raise ExperimentError("`references` is a list of prompts.")
        object.__setattr__(self, "references", tuple(self.references))
        if len(self.references) > MOST_REFERENCES:
            raise ExperimentError(
                f"{len(self.references)} reference prompts are given; at most {MOST_REFERENCES}."
            )
        texts = (self.model, self.prompt, self.corrupted, self.answer, self.distractor)
        for text in (*texts, *self.references):
            if not isinstance(text, str):
                raise ExperimentError(f"Prompts and answers are texts, not {type(text).__name__}.")
        if not all(self.references):
            raise ExperimentError("A reference prompt is empty; leave it out.")
        of_vectors = (text for vector in self.vectors for text in vector.made.texts)
        characters = sum(map(len, (*texts, *self.references, *of_vectors)))
        if characters > MOST_TEXT:
            raise ExperimentError(
                f"The texts have {characters:,} characters; at most {MOST_TEXT:,} together."
            )
        if not (self.prepend_bos is None or isinstance(self.prepend_bos, bool)):
            raise ExperimentError("`prepend_bos` is true, false, or left out.")

    @property
    def clean(self) -> Experiment:
        """The same experiment with nothing changed."""
        return replace(
            self, ablations=Ablations(), method=Method(), positions=Positions(), changes=()
        )

    @property
    def every_change(self) -> tuple[Change, ...]:
        """All that is changed, in order: the short form, where it names sites, and `changes`."""
        if not self.ablations:
            return self.changes
        return (Change(self.ablations, self.method, self.positions), *self.changes)

    def vector(self, name: str) -> Direction:
        """The direction of that name. Raises: ExperimentError naming those there are."""
        for one in self.vectors:
            if one.name == name:
                return one
        there = ", ".join(one.name for one in self.vectors)
        raise ExperimentError(
            f"This experiment has no direction “{name}”: "
            + (f"it has {there}." if there else "it has none. Give it among `vectors`.")
        )

    def sae(self, layer: int) -> Sae:
        """The SAE whose features are those of a layer. Raises: ExperimentError naming those there
        are."""
        for one in self.saes:
            if one.layer == layer:
                return one
        there = ", ".join(map(str, self.saes))
        raise ExperimentError(
            f"f{layer}.… are features of an SAE of layer {layer}, and this experiment has "
            + (f"{there}." if there else "none. Give it among `saes`.")
        )

    def to_dict(self) -> dict[str, Any]:
        """Only what differs from the defaults, as plain JSON values (the model always)."""
        plain: dict[str, Any] = {"model": self.model}
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name != "model" and value != getattr(_DEFAULT, f.name):
                plain[f.name] = _plain(value)
        return plain

    @staticmethod
    def from_dict(plain: dict[str, Any]) -> Experiment:
        """The inverse of `to_dict`. Raises: LinkError for names it does not know."""
        known = {f.name for f in fields(Experiment)}
        unknown = sorted(set(plain) - known)
        if unknown:
            raise LinkError(
                f"An experiment has no “{str(unknown[0])[:40]}”; it has {', '.join(sorted(known))}."
            )
        try:
            return Experiment(**plain)
        except (TypeError, AttributeError, ValueError) as wrong:
            raise LinkError(f"This is no experiment: {str(wrong)[:200]}.") from wrong

    def to_json(self) -> str:
        """JSON text with only what differs from the defaults."""
        return json.dumps(self.to_dict(), ensure_ascii=True)

    @staticmethod
    def from_json(text: str) -> Experiment:
        """The inverse of `to_json`. Raises: EngineError in words for a text that is none."""
        if not isinstance(text, str):
            raise LinkError(f"The JSON of an experiment is a text, not {type(text).__name__}.")
        if len(text) > MOST_WRITTEN:
            raise LinkError(f"The JSON has {len(text):,} characters; at most {MOST_WRITTEN:,}.")
        try:
            plain = json.loads(text)
        except (ValueError, RecursionError) as wrong:
            raise LinkError(f"This is not JSON: {str(wrong)[:200]}.") from wrong
        if not isinstance(plain, dict):
            raise LinkError("The JSON of an experiment is an object with its fields.")
        return Experiment.from_dict(plain)

    def to_url(self) -> str:
        """The query of a link to this experiment, beginning with `?`.

        Every field is written as text; `references`, `changes`, `vectors` and `saes` appear once
        each.
        """
        pairs: list[tuple[str, str]] = []
        for name, value in self.to_dict().items():
            values = value if isinstance(value, list) else [value]
            pairs += [(name, _word(v)) for v in values]
        return "?" + urlencode(pairs, errors="surrogatepass")

    @staticmethod
    def from_url(url: str) -> Experiment:
        """Read a link, or its query alone. Other parameters are left to others.

        Raises: LinkError (or the EngineError of the field) saying which part cannot be read.
        """
        if not isinstance(url, str):
            raise LinkError(f"A link is a text, not {type(url).__name__}.")
        if len(url) > MOST_WRITTEN:
            raise LinkError(f"The link has {len(url):,} characters; at most {MOST_WRITTEN:,}.")
        try:
            query = urlsplit(url).query if re.match(r"\?|/|[a-z]+://", url) else url
            pairs = parse_qsl(
                query, keep_blank_values=True, errors="surrogatepass", max_num_fields=2_000
            )
        except ValueError as wrong:
            raise LinkError(f"This link cannot be read: {str(wrong)[:200]}.") from wrong
        return Experiment.from_pairs(pairs)

    @staticmethod
    def from_pairs(pairs: list[tuple[str, str]]) -> Experiment:
        """Read the name-value pairs of a link's query, already decoded."""
        plain: dict[str, Any] = {}
        for name, value in pairs:
            if name in _REPEATED:
                plain.setdefault(name, []).append(value)
            elif name == "prepend_bos":
                if value not in ("true", "false"):
                    raise LinkError(f"prepend_bos is true or false, not “{value[:40]}”.")
                plain[name] = value == "true"
            elif name in _NAMES:
                if name in plain:
                    raise LinkError(f"The link gives “{name}” twice; keep one.")
                plain[name] = value
        return Experiment.from_dict(plain)

    @staticmethod
    def readable(pairs: list[tuple[str, str]]) -> tuple[Experiment, tuple[str, ...]]:
        """What can be read of the name-value pairs of a link's query, and what cannot, in a
        sentence for each name."""
        kept: list[tuple[str, str]] = []
        wrong = []
        for name in dict.fromkeys(name for name, _ in pairs):
            own = [pair for pair in pairs if pair[0] == name]
            if len(own) > 1 and name in _NAMES.difference(_REPEATED):
                wrong.append(f"The link gives “{name}” more than once; the first is taken.")
                own = own[:1]
            try:
                Experiment.from_pairs([*kept, *own])
                kept += own
            except EngineError as error:
                wrong.append(f"The link's “{name}” is left out: {error}")
        return Experiment.from_pairs(kept), tuple(wrong)

    def to_python(self) -> str:
        """The Python that makes this experiment, for `import engine`."""
        shown = ", ".join(f"{name}={value!r}" for name, value in self.to_dict().items())
        return f"engine.Experiment({shown})"


_DEFAULT = Experiment()
_NAMES = {f.name for f in fields(Experiment)}
_REPEATED = ("references", "changes", "vectors", "saes")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [one.to_dict() if isinstance(one, Direction) else str(one) for one in value]
    return value if isinstance(value, (str, bool)) else str(value)


def _word(value: Any) -> str:
    if isinstance(value, dict):
        return json.dumps(value, separators=(",", ":"))
    return str(value).lower() if isinstance(value, bool) else str(value)


def check_experiment(e: Any) -> None:
    """Raises: ExperimentError for what is no experiment."""
    if not isinstance(e, Experiment):
        raise ExperimentError(f"An Experiment is asked about, not {e!r:.60}.")
