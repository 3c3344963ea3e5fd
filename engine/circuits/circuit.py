"""A circuit is a value: which heads and MLPs of a model are kept for a task, and who says so.

Everything else is ablated, by the circuit's method. It is written as JSON, CSV and Python, and
every form reads back equal.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from ..errors import EngineError, LinkError, SiteError
from ..experiment.ablations import Ablations
from ..experiment.experiment import Experiment
from ..experiment.method import AsMethod, Kind, Method, parse_ablation
from ..experiment.numbers import whole_number
from ..experiment.parsed import Parsed, field
from ..experiment.sites import MLP, MOST_SITES, AsSites, Head, Heads, Site, parse_sites, print_sites
from ..text.csv_text import read_csv
from .figures import kept_figure

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_CIRCUIT_TEXT = 1_000_000
"""Characters a circuit's file may have."""
_MOST_SIZE = 10_000
_CSV = ("site", "kind", "layer", "head")


@dataclass(frozen=True)
class Circuit:
    """Heads and MLPs kept for a task, in a model of `n_layers` layers of `n_heads` heads.

    `sites`: heads in order, then MLPs, each once; may be given as text, whole layers too (`a9`).
    `all_mlps`: MLPs were not asked about and all are kept, so `sites` names none. `method`: what
    everything else is ablated by. `source`: who found it and where it is published; `note`: how.
    `threshold`, `score` (of the kept circuit, in the search's own units), `n` (pairs) and `seed`:
    of the search, where known. `without_heads` and `without_mlp`: the layers of a hybrid that have
    none. `references`: the prompts that its averages are over; empty where they are those of
    whatever it is asked of.
    Raises: SiteError for sites that are not heads or MLPs of such a model; EngineError for a field
    that cannot be used.
    """

    name: str
    model: str
    task: str
    sites: Parsed[tuple[Site, ...], AsSites] = field()
    n_layers: int = field()
    n_heads: int = field()
    all_mlps: bool = False
    method: Parsed[Method, AsMethod] = field(default_factory=lambda: Method(Kind.MEAN_BY_POSITION))
    source: str = ""
    note: str = ""
    threshold: float | None = None
    score: float | None = None
    n: int | None = None
    seed: int | None = None
    without_heads: Parsed[tuple[int, ...], Collection[int]] = field(default=())
    without_mlp: Parsed[tuple[int, ...], Collection[int]] = field(default=())
    references: Parsed[tuple[str, ...], Iterable[str]] = field(default=())

    def __post_init__(self) -> None:
        given = parse_sites(self.sites)
        for side in ("n_layers", "n_heads"):
            object.__setattr__(self, side, whole_number(getattr(self, side), side))
        object.__setattr__(self, "method", parse_ablation(self.method))
        as_experiment = Experiment(references=self.references)
        object.__setattr__(self, "references", as_experiment.references)
        if not (0 <= self.n_layers <= _MOST_SIZE and 0 <= self.n_heads <= _MOST_SIZE):
            raise SiteError(
                f"A model has 0 to {_MOST_SIZE:,} layers and heads a layer, not {self.n_layers} of "
                f"{self.n_heads}."
            )
        for lacking in ("without_heads", "without_mlp"):
            object.__setattr__(self, lacking, self._layers(getattr(self, lacking)))
        for site in given:
            self._check(site)
        whole = [
            Head(s.layer, h) for s in given if isinstance(s, Heads) for h in range(self.n_heads)
        ]
        heads = sorted({site for site in (*given, *whole) if isinstance(site, Head)})
        mlps = sorted({site for site in given if isinstance(site, MLP)})
        if mlps and self.all_mlps:
            raise SiteError(
                f"The circuit “{self.name[:60]}” keeps all MLPs and names {mlps[0]}: leave it out, "
                "or list all that are kept."
            )
        object.__setattr__(self, "sites", (*heads, *mlps))

    def _check(self, site: Site) -> None:
        if not isinstance(site, Head | Heads | MLP):
            raise SiteError(f"A circuit is made of heads (9.1) and MLPs (m9), not of {site}.")
        if site.layer >= self.n_layers or (isinstance(site, Head) and site.head >= self.n_heads):
            raise SiteError(
                f"{site} is not in a model of {self.n_layers} layers of {self.n_heads} heads; both "
                "count from 0."
            )
        if site.layer in (self.without_mlp if isinstance(site, MLP) else self.without_heads):
            kind = "MLP" if isinstance(site, MLP) else "heads"
            raise SiteError(
                f"Layer {site.layer} of this circuit's model has no {kind}, so not {site}."
            )

    def _layers(self, given: Collection[int]) -> tuple[int, ...]:
        """Layers that lack something, in order. Raises: SiteError for what is none."""
        for layer in given:
            if not isinstance(layer, int) or not 0 <= layer < self.n_layers:
                raise SiteError(
                    f"{str(layer)[:40]!r} is no layer of a model of {self.n_layers} layers."
                )
        return tuple(sorted(set(given)))

    @property
    def heads(self) -> tuple[Head, ...]:
        """The heads kept."""
        return tuple(site for site in self.sites if isinstance(site, Head))

    @property
    def mlps(self) -> tuple[MLP, ...]:
        """The MLPs kept, every one where all are."""
        if self.all_mlps:
            return tuple(map(MLP, (i for i in range(self.n_layers) if i not in self.without_mlp)))
        return tuple(site for site in self.sites if isinstance(site, MLP))

    @property
    def kept(self) -> Ablations:
        """The circuit alone: everything else ablated, MLPs too unless all are kept."""
        return Ablations(self.sites, "keep", mlps=not self.all_mlps)

    @property
    def removed(self) -> Ablations:
        """The model without the circuit: its sites ablated. MLPs that were not asked about stay."""
        return Ablations(self.sites)

    def figure(self) -> go.Figure:
        """Layers down, heads across, the MLPs at the right; what the circuit keeps is filled."""
        return kept_figure(self, self.heads, self.mlps, self.all_mlps)

    def union(self, other: Circuit) -> Circuit:
        """What either keeps. Raises: EngineError for circuits of other shapes."""
        check_same_shape(self, other)
        return self._joined(other, "∪", {*self.sites, *other.sites})

    def intersection(self, other: Circuit) -> Circuit:
        """What both keep. Raises: EngineError for circuits of other shapes."""
        check_same_shape(self, other)
        ours: tuple[Site, ...] = (*self.heads, *self.mlps)
        theirs: tuple[Site, ...] = (*other.heads, *other.mlps)
        return self._joined(other, "∩", [site for site in ours if site in theirs])

    def _joined(self, other: Circuit, sign: str, sites: Collection[Site]) -> Circuit:
        every = self.all_mlps and other.all_mlps
        if sign == "∪":
            every = self.all_mlps or other.all_mlps
        return Circuit(
            name=f"{self.name} {sign} {other.name}",
            model=self.model,
            task=self.task if self.task == other.task else f"{self.task} {sign} {other.task}",
            sites=tuple(s for s in sites if not (every and isinstance(s, MLP))),
            n_layers=self.n_layers,
            n_heads=self.n_heads,
            all_mlps=every,
            method=self.method,
            without_heads=self.without_heads,
            without_mlp=self.without_mlp,
            references=self.references if self.references == other.references else (),
        )

    def to_dict(self) -> dict[str, Any]:
        """What differs from the defaults, as plain JSON values; sites as text."""
        bare = replace(_BARE, sites=())
        plain: dict[str, Any] = {}
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name in _NEEDED or value != getattr(bare, f.name):
                plain[f.name] = print_sites(value) if f.name == "sites" else value
        return {k: str(v) if isinstance(v, Method) else v for k, v in plain.items()}

    @staticmethod
    def from_dict(plain: dict[str, Any]) -> Circuit:
        """The inverse of `to_dict`. Raises: LinkError saying which field cannot be read."""
        known = {f.name: f.type for f in fields(Circuit)}
        for name, value in plain.items():
            if name not in known:
                raise LinkError(f"A circuit has no “{name[:40]}”; it has {', '.join(known)}.")
            kinds = _KINDS[str(known[name])]
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise LinkError(f"The “{name}” of a circuit cannot be {str(value)[:40]!r}.")
        missing = [name for name in _NEEDED if name not in plain]
        if missing:
            raise LinkError(f"The circuit has no “{missing[0]}”; it needs {', '.join(_NEEDED)}.")
        return Circuit(**plain)

    def to_json(self) -> str:
        """JSON text, readable; only what differs from the defaults."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=1) + "\n"

    @staticmethod
    def from_json(text: str) -> Circuit:
        """The inverse of `to_json`. Raises: EngineError in words for a text that is none."""
        _check_text(text)
        try:
            plain = json.loads(text)
        except (ValueError, RecursionError) as wrong:
            raise LinkError(f"This is not JSON: {str(wrong)[:200]}.") from wrong
        if not isinstance(plain, dict):
            raise LinkError("The JSON of a circuit is an object with its fields.")
        return Circuit.from_dict(plain)

    def to_csv(self) -> str:
        """A site a line: as written, its kind, layer and head. Where all MLPs are kept, all are
        listed."""
        out = io.StringIO(newline="")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(_CSV)
        for head in self.heads:
            writer.writerow([head, "head", head.layer, head.head])
        writer.writerows([mlp, "mlp", mlp.layer, ""] for mlp in self.mlps)
        return out.getvalue()

    @staticmethod
    def from_csv(
        text: str,
        name: str,
        model: str,
        task: str,
        n_layers: int,
        n_heads: int,
        without_heads: Collection[int] = (),
        without_mlp: Collection[int] = (),
    ) -> Circuit:
        """A circuit of the sites in a CSV text, of which the column “site” is read.

        Raises: EngineError naming the line that cannot be read.
        """
        _check_text(text)
        sites: list[Site] = []
        for line, values in read_csv(text, ("site",), extra=True):
            try:
                sites += parse_sites(values.get("site", ""))
            except SiteError as wrong:
                raise SiteError(f"Line {line}: {wrong}") from wrong
            if len(sites) > MOST_SITES:
                raise SiteError(f"Line {line}: more than {MOST_SITES:,} sites.")
        return Circuit(
            name,
            model,
            task,
            tuple(sites),
            n_layers,
            n_heads,
            without_heads=tuple(without_heads),
            without_mlp=tuple(without_mlp),
        )

    def to_python(self) -> str:
        """The Python that makes this circuit, for `import engine`."""
        shown = ", ".join(f"{name}={value!r}" for name, value in self.to_dict().items())
        return f"engine.Circuit({shown})"


_NEEDED = ("name", "model", "task", "sites", "n_layers", "n_heads")
_BARE = Circuit("", "", "", (), 0, 0)
_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "Parsed[tuple[Site, ...], AsSites]": (str,),
    "Parsed[tuple[int, ...], Collection[int]]": (list, tuple),
    "Parsed[tuple[str, ...], Iterable[str]]": (list, tuple),
    "Parsed[Method, AsMethod]": (str,),
    "int": (int,),
    "bool": (bool,),
    "int | None": (int, type(None)),
    "float | None": (int, float, type(None)),
}
"""A field's type → what stands for it in JSON."""


def check_same_shape(a: Circuit, b: Circuit) -> None:
    """Refuse to compare circuits of models that differ in shape. Raises: EngineError with both."""
    if (a.n_layers, a.n_heads) != (b.n_layers, b.n_heads):
        raise EngineError(
            f"“{a.name[:60]}” is of a model of {a.n_layers} layers of {a.n_heads} heads and "
            f"“{b.name[:60]}” of one of {b.n_layers} layers of {b.n_heads}: their sites do not "
            "correspond, so they cannot be compared."
        )


def _check_text(text: str) -> None:
    if len(text) > MOST_CIRCUIT_TEXT:
        raise LinkError(f"The circuit has {len(text):,} characters; at most {MOST_CIRCUIT_TEXT:,}.")
