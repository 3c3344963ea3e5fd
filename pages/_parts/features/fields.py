"""The fields of the link that the Features page draws; which SAE is the experiment's own."""

from pages._parts.fields import Choice, Text
from pages._parts.pairs_form import TASK
from pages._parts.roles.fields import LOOKED_AT as HEAD

SHOWN = Choice("features_show", ("health", "prompt", "one", "after", "train"))
TEXTS = Choice("features_in", ("families", "family", "written"))
RUN = Choice("run", ("clean", "ablated", "difference"))
FIELDS = (
    SHOWN,
    TEXTS,
    RUN,
    TASK,
    HEAD,
    Text("feature"),
    Text("context_text"),
    Text("features_shown", "20"),
    Text("sae_site"),
    Text("sae_expansion", "4"),
    Text("sae_k", "16"),
    Text("sae_tokens", "300000"),
    Text("sae_seed", "0"),
)
