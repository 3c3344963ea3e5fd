"""Each claim of the README as a command that measures it beside its rival, in one run."""
