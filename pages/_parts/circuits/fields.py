"""The fields of the link that the Circuits page draws."""

import engine
from pages._parts import pairs_form
from pages._parts.boxes import MATCHED
from pages._parts.fields import Choice, Text

DO = Choice("do", ("search", "evaluate", "compare", "edges", "curve"))
STRATEGY = Choice("strategy", tuple(engine.STRATEGIES))
SEARCH_METRIC = Choice("search_metric", tuple(engine.SEARCH_METRICS))
SEARCH_METHOD = Choice("search_method", ("mean_by_position", "mean", "resample", "zero"))
SEARCHED = (
    STRATEGY,
    SEARCH_METRIC,
    SEARCH_METHOD,
    Choice("direction", engine.DIRECTIONS),
    Choice("nodes", ("both", "heads")),
    Choice("per", ("site", "position")),
    Choice("judged", ("fresh", "same")),
    Text("threshold", "0.2"),
    Text("gradient_steps", "5"),
    Text("runs", "1"),
)
EVALUATED = (
    Choice("whose", ("circuit", "sidebar")),
    Choice("members", ("each", "none")),
    Choice("means", ("own", "these", "sidebar")),
    Choice("matched", tuple(MATCHED)),
    Text("n_controls", "20"),
    Text("control_seed", "0"),
)
TRACED = (
    Choice("paths", ("members", "chosen")),
    Choice("inputs", ("whole", "split")),
    Text("edge_threshold", "0.02"),
    Text("senders"),
    Text("receivers", "logits"),
)
CURVED = (
    Choice("ranked_by", ("nodes", "edges", "sweep", "search", "file")),
    Choice("curve_order", tuple(engine.ORDERS)),
    Text("n_random", "5"),
    Text("curve_points"),
)
LIBRARY = (
    Text("circuits"),
    Text("circuit"),
    Text("compared"),
    Choice("third", ("no", "yes")),
)
FIELDS = (DO, *pairs_form.FIELDS, *SEARCHED, *EVALUATED, *TRACED, *CURVED, *LIBRARY)
