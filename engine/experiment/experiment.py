"""An experiment is a value: what is asked of which model, with what switched off and how.

Because it is a value it is the cache key, the link to a view, the JSON to save and the Python
to copy. Only what differs from the defaults is written, and every form reads back equal.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from ..errors import ExperimentError, LinkError
from .sites import Site, parse_sites, print_sites

MOST_TEXT = 200_000
"""Characters the texts of an experiment may have together."""
MOST_WRITTEN = 20 * MOST_TEXT
"""Characters a link or a JSON text may have: a character is up to 12 in a link."""
MOST_NUMBER = 1e6
"""How far `scale(c)` and `set(v)` may go from 0; beyond, models only overflow."""
_MOST_POSITIONS = 100_000
MOST_REFERENCES = 1_000


class Kind(Enum):
    """What an ablated activation becomes. Each member carries its own definition."""

    ZERO = ("zero", "the activation becomes 0")
    MEAN = (
        "mean",
        "it becomes its average over every token of the reference prompts, whatever their length",
    )
    MEAN_BY_POSITION = (
        "mean_by_position",
        "it becomes its average over the reference prompts at the same position; every reference "
        "prompt must have as many tokens as the prompt",
    )
    RESAMPLE = (
        "resample",
        "it becomes its value in the corrupted prompt's run at the same position; the corrupted "
        "prompt must have as many tokens as the prompt",
    )
    SCALE = ("scale", "it is multiplied by a number, as in scale(0.5)")
    SET = ("set", "it is forced to a number, as in set(3)")

    def __init__(self, word: str, definition: str) -> None:
        self.word = word
        self.definition = definition


_TAKES_NUMBER = (Kind.SCALE, Kind.SET)


@dataclass(frozen=True)
class Method:
    """A kind of ablation, with its number for `scale(c)` and `set(v)`."""

    kind: Kind = Kind.ZERO
    number: float | None = None

    def __post_init__(self) -> None:
        if (self.kind in _TAKES_NUMBER) != (self.number is not None):
            raise ExperimentError(
                f"The method {self.kind.word} "
                + (
                    f"needs a number, as in {self.kind.word}(0.5)."
                    if self.number is None
                    else "takes no number."
                )
            )
        if self.number is not None and not abs(self.number) <= MOST_NUMBER:
            raise ExperimentError(
                f"{self.kind.word}({self.number}): the number must be finite, and from "
                f"−{MOST_NUMBER:,.0f} to {MOST_NUMBER:,.0f}."
            )

    def __str__(self) -> str:
        if self.number is None:
            return self.kind.word
        return f"{self.kind.word}({self.number!r})"

    @staticmethod
    def parse(text: str | Method) -> Method:
        """Read `"zero"`, `"mean"`, `"mean_by_position"`, `"resample"`, `"scale(0.5)"`, `"set(3)"`.

        Raises: ExperimentError naming the methods there are.
        """
        if isinstance(text, Method):
            return text
        match = re.fullmatch(r"\s*([a-z_]+)\s*(?:\(\s*([^()]{1,40})\s*\))?\s*", text)
        kinds = {kind.word: kind for kind in Kind}
        if match is None or match[1] not in kinds:
            raise ExperimentError(
                f"“{text[:40]}” is not a method. There are zero, mean, mean_by_position, resample, "
                "scale(c) and set(v)."
            )
        try:
            number = None if match[2] is None else float(match[2])
        except ValueError:
            raise ExperimentError(f"“{match[2]}” in “{text[:60]}” is not a number.") from None
        return Method(kinds[match[1]], number)


@dataclass(frozen=True)
class Positions:
    """At which tokens an ablation acts, counted over the tokens the model sees, BOS included.

    `which` is "all", "prompt" (only the prompt's tokens), "generated" (only what comes after
    them), or "indices", when `indices` holds them; a negative index counts from the prompt's end.
    """

    which: str = "all"
    indices: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.which not in ("all", "prompt", "generated", "indices"):
            raise ExperimentError(f"“{self.which}” names no positions: see Positions.parse.")
        if (self.which == "indices") != bool(self.indices):
            raise ExperimentError("Positions are indices, or one of all, prompt, generated.")

    def __str__(self) -> str:
        if self.which != "indices":
            return self.which
        spans: list[list[int]] = []
        for i in self.indices:
            if spans and i >= 0 and i == spans[-1][1] + 1 and spans[-1][0] >= 0:
                spans[-1][1] = i
            else:
                spans.append([i, i])
        return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)

    @staticmethod
    def parse(text: str | Positions) -> Positions:
        """Read `"all"`, `"prompt"`, `"generated"`, or indices and ranges such as `"0-3,5,-1"`.

        Raises: ExperimentError with the forms there are.
        """
        if isinstance(text, Positions):
            return text
        word = text.strip().lower()
        if word in ("all", "prompt", "generated"):
            return Positions(word)
        indices: set[int] = set()
        named = 0
        for part in re.split(r"[\s,;]+", word):
            match = re.fullmatch(r"(-?\d{1,6})|(\d{1,6})-(\d{1,6})", part)
            if match is None or (match[2] and int(match[3]) - int(match[2]) not in range(100_000)):
                raise ExperimentError(
                    f"“{text[:40]}” names no positions. Write all, prompt, generated, or indices "
                    "and ranges such as 0-3,5,-1 (-1 is the prompt's last token)."
                )
            span = (match[1], match[1]) if match[1] else (match[2], match[3])
            named += int(span[1]) + 1 - int(span[0])
            if named > _MOST_POSITIONS:
                raise ExperimentError(f"More than {_MOST_POSITIONS:,} positions are named.")
            indices.update(range(int(span[0]), int(span[1]) + 1))
        return Positions("indices", tuple(sorted(indices)))

    def at(self, n_prompt: int, n_tokens: int) -> tuple[int, ...]:
        """The positions meant, for a prompt of `n_prompt` tokens in a text of `n_tokens`.

        Raises: ExperimentError for an index past the prompt's end, naming both.
        """
        match self.which:
            case "all":
                return tuple(range(n_tokens))
            case "prompt":
                return tuple(range(min(n_prompt, n_tokens)))
            case "generated":
                return tuple(range(n_prompt, n_tokens))
        bad = [i for i in self.indices if not -n_prompt <= i < n_prompt]
        if bad:
            raise ExperimentError(
                f"Position {bad[0]} is not in the prompt: it has {n_prompt} tokens, positions 0 to "
                f"{n_prompt - 1}."
            )
        return tuple(sorted({i % n_prompt for i in self.indices}))


@dataclass(frozen=True)
class Ablations:
    """Which sites are switched off, the verb included: ablate these, or keep only these.

    In "keep", every head not named is ablated; MLPs not named only if `mlps` says so.
    """

    sites: tuple[Site, ...] = ()
    verb: str = "ablate"
    mlps: bool = False

    def __post_init__(self) -> None:
        if self.verb not in ("ablate", "keep"):
            raise ExperimentError(f"“{self.verb}” is no verb for sites: say ablate or keep.")
        if self.mlps and self.verb != "keep":
            raise ExperimentError("`mlps` belongs to keep: to ablate MLPs, name them (m9).")
        if self.verb == "keep" and any(str(site).startswith("n") for site in self.sites):
            raise ExperimentError("Keep works on heads and MLPs; neurons can only be ablated.")

    def __bool__(self) -> bool:
        return bool(self.sites) or self.verb == "keep"

    def __str__(self) -> str:
        sites = print_sites(self.sites)
        if self.verb == "ablate":
            return sites
        return " ".join(filter(None, ["keep+mlps" if self.mlps else "keep", sites]))


def ablations(text: str | Ablations = "") -> Ablations:
    """Read what to switch off: `"1.3 m2"`, `"ablate 1.3"`, `"keep 1.3 m2"`, `"keep+mlps 1.3"`.

    `keep` ablates every head not named; `keep+mlps` every MLP not named as well.
    Raises: SiteError for a word that is no site.
    """
    if isinstance(text, Ablations):
        return text
    verb, _, rest = text.strip().partition(" ")
    match verb.lower():
        case "keep":
            return Ablations(parse_sites(rest), "keep")
        case "keep+mlps":
            return Ablations(parse_sites(rest), "keep", mlps=True)
        case "ablate":
            return Ablations(parse_sites(rest))
    return Ablations(parse_sites(text))


@dataclass(frozen=True)
class Experiment:
    """What is asked: a model, a prompt, and what is switched off.

    `model` is a bundled name, a hub name or a directory. `answer` and `distractor` are scored in
    place, after the prompt, so a leading space belongs to them. `corrupted` is the prompt whose
    activations `resample` uses; `references` are the prompts whose averages `mean` and
    `mean_by_position` use (the corrupted prompt alone, if there are none). `prepend_bos` None
    means what the tokenizer does by itself.
    Raises: ExperimentError or SiteError for a field that cannot be read.
    """

    model: str = "seq-gpt2"
    prompt: str = ""
    corrupted: str = ""
    answer: str = ""
    distractor: str = ""
    ablations: Ablations = field(default_factory=Ablations)
    method: Method = field(default_factory=Method)
    positions: Positions = field(default_factory=Positions)
    references: tuple[str, ...] = ()
    prepend_bos: bool | None = None

    def __post_init__(self) -> None:
        for name, parse in (
            ("ablations", ablations),
            ("method", Method.parse),
            ("positions", Positions.parse),
        ):
            object.__setattr__(self, name, parse(getattr(self, name)))
        if isinstance(self.references, str):
            raise ExperimentError("`references` is a list of prompts, not one text.")
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
        characters = sum(map(len, (*texts, *self.references)))
        if characters > MOST_TEXT:
            raise ExperimentError(
                f"The texts have {characters:,} characters; at most {MOST_TEXT:,} together."
            )
        if not (self.prepend_bos is None or isinstance(self.prepend_bos, bool)):
            raise ExperimentError("`prepend_bos` is true, false, or left out.")

    @property
    def clean(self) -> Experiment:
        """The same experiment with nothing ablated."""
        return replace(self, ablations=Ablations(), method=Method(), positions=Positions())

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

        Every field is written as text; `references` appear once each.
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
            if name == "references":
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

    def to_python(self) -> str:
        """The Python that makes this experiment, for `import engine`."""
        shown = ", ".join(f"{name}={value!r}" for name, value in self.to_dict().items())
        return f"engine.Experiment({shown})"


_DEFAULT = Experiment()
_NAMES = {f.name for f in fields(Experiment)}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return value if isinstance(value, (str, bool)) else str(value)


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else value
