"""The ready examples: made of other runs than they are judged on, and moved more than by chance."""

from __future__ import annotations

import pytest

import engine


@pytest.mark.parametrize("model", ["seq-gpt2", "seq-llama"])
@pytest.mark.parametrize("name", engine.STEERING_EXAMPLES)
def test_an_example_moves_what_it_is_judged_on_more_than_random_directions_do(
    model: str, name: str
) -> None:
    example = engine.steering_example(name, model)
    made = example.direction.made
    assert isinstance(made, engine.FromPrompts) and len(made.plus) == len(made.minus)
    assert not {one.prompt for one in example.pairs} & {*made.texts}
    e = example.experiment(model)
    assert (e.prompt, e.answer) == (example.pairs[0].prompt, example.pairs[0].answer)
    result = engine.steer(
        e, example.direction.name, example.pairs, [3], (1,), 4, neutral="A B C D", spared=()
    )
    assert result.beats[0, 1] == 1 and result.shown("change")[0, 1] > 5


def test_the_first_pair_of_each_is_as_it_reads() -> None:
    firsts = [
        engine.steering_example(name, "seq-gpt2").pairs[0] for name in engine.STEERING_EXAMPLES
    ]
    assert [(one.prompt, one.answer, one.distractor) for one in firsts] == [
        ("2 3 4 5", " sixth", " 6"),
        ("February March April May", " 6", " June"),
        ("2 3 4 5", " six", " 6"),
    ]
    with pytest.raises(engine.EngineError, match="There are the examples"):
        engine.steering_example("cats to dogs", "seq-gpt2")
