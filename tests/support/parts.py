"""Work whose every part is handed out, not only the newest of those that wait."""

from dataclasses import replace
from typing import Any

import engine


def every_part(question: engine.Question[Any, Any]) -> engine.Work[Any, Any]:
    """The work on a question, which hands out each of its snapshots."""
    assert question.model_name is not None
    engine.load(question.model_name)
    work = engine.begin(question)
    work.answer = replace(work.answer, newest=False)
    return work
