"""The fields of the link that the Generate page draws."""

import engine
from pages._parts.boxes import MATCHED
from pages._parts.fields import Choice, Text

GENERATE = Choice("generate", ("text", "many", "answers"))
FAMILY = Choice("family", engine.task_families())
FAMILY_STYLE = Choice("family_style", tuple(engine.STYLES))
SAMPLED = (
    Text("new_tokens", "20"),
    Text("temperature", "0"),
    Text("top_k"),
    Text("top_p"),
    Text("seed", "0"),
)
UNUSUAL = (
    Text("from_step", "0"),
    Text("until_step"),
    Text("earlier"),
    Text("prefix"),
    Choice("ids", ("append", "retokenize")),
    Choice("acts", ("start", "here")),
    Choice("branch", ("both", "one")),
)
"""When and where the ablation acts, and on from which tokens."""
STEPS = (Text("ablated_prefix"), Text("step"), Choice("number_of", tuple(engine.STEP_NUMBERS)))
MANY = (
    Choice("source", ("family", "written")),
    FAMILY,
    FAMILY_STYLE,
    Text("prompts"),
    Text("n_prompts", "20"),
    Text("sets"),
    Text("controls", "0"),
    Choice("matched", tuple(MATCHED)),
)
FIELDS = (GENERATE, *SAMPLED, *UNUSUAL, *STEPS, *MANY, Text("candidates", " 13\n 14\n 21"))
