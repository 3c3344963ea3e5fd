"""The fields of the link that the Features page draws; which SAE is the experiment's own."""

from pages._parts import pairs_form
from pages._parts.fields import Choice, Text
from pages._parts.roles.fields import LOOKED_AT as HEAD
from pages._parts.sweep.fields import BASELINE

SHOWN = Choice("features_show", ("health", "prompt", "one", "train", "answer", "circuit", "after"))
TEXTS = Choice("features_in", ("families", "family", "written"))
RUN = Choice("run", ("clean", "ablated", "difference"))
FIELDS = (
    SHOWN,
    TEXTS,
    RUN,
    *pairs_form.FIELDS,
    BASELINE,
    HEAD,
    Text("feature"),
    Text("context_text"),
    Text("features_shown", "20"),
    Text("sae_site"),
    Text("sae_expansion", "4"),
    Text("sae_k", "16"),
    Text("sae_tokens", "300000"),
    Text("sae_seed", "0"),
    Text("features_exact", "20"),
    Text("random_features", "20"),
    Choice("feature_order", ("exact", "magnitude", "signed")),
    Choice("other_features", ("mean", "zero")),
    Choice("sae_error", ("kept", "zero")),
    Text("n_random", "5"),
    Text("control_seed", "0"),
    Text("circuit_features"),
)
