"""The fields of the link that the Steering page draws."""

from pages._parts import pairs_form
from pages._parts.fields import Choice, Text

SHOWN = Choice("steering_show", ("direction", "map", "text"))
MADE_OF = Choice("made_of", ("prompts", "head", "unembedding", "feature", "file"))
BY = Choice("made_by", ("mean", "pca"))
READ = Choice("made_read", ("last", "mean"))
LENGTH = Choice("vector_length", ("own", "unit"))
FIELDS = (
    *pairs_form.FIELDS,
    SHOWN,
    MADE_OF,
    BY,
    READ,
    LENGTH,
    Text("vector_name"),
    Text("vector_site"),
    Text("vector_plus"),
    Text("vector_minus"),
    Text("vector_head"),
    Text("vector_token"),
    Text("vector_less"),
    Text("vector_sae"),
    Text("vector_feature"),
    Text("steer_with"),
    Text("steer_layer"),
    Text("steer_by", "1"),
    Text("steer_layers"),
    Text("steer_coefficients", "-4 -2 -1 -0.5 0 0.5 1 2 4"),
    Text("steer_draws", "4"),
    Text("steer_seed", "0"),
    Text("steer_kl", "0.1"),
)
