"""A load is work like any other; a model is one by any name, until its files are saved anew."""

from __future__ import annotations

import gc
import inspect
import os
import re
import shutil
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.models.gpt2.modeling_gpt2 import GPT2Attention

import engine
from engine import registry
from engine.model import attention, budget, building
from engine.model.checkpoints import BUNDLED
from engine.model.loading import Load
from engine.model.opening import open_model
from tests.support.noting import noting
from tests.support.tiny_models import Tiny, save_model

PROMPT = "t1 t5 t9 t2"


@pytest.fixture
def directory(tiny: Tiny, tmp_path: Path) -> Iterator[Any]:
    shutil.copytree(tiny("gpt2"), tmp_path / "m")
    yield tmp_path / "m"
    engine.release(str(tmp_path / "m"))


def first(directory: Path | str) -> engine.Ranking:
    return engine.next_token(engine.Experiment(str(directory), PROMPT)).clean


def threads() -> set[str]:
    return {t.name for t in threading.enumerate()}


def ended(name: str) -> bool:
    """Whether no thread of that name is left, once it had a moment to end."""
    return wait(lambda: not any(name in t for t in threads()))


def wait(what: Any, seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while not what() and time.monotonic() < until:
        time.sleep(0.01)
    return what()


class Gate:
    """Holds a load where it reads a model, and keeps weak hold of what it had made by then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, of: str = "") -> None:
        self.reached, self.go = threading.Event(), threading.Event()
        self.made: list[weakref.ref] = []
        its_own = open_model

        def held(checkpoint: Any, device: Any, dtype: Any, going_on: Any = lambda: None) -> Any:
            def step() -> None:
                going_on()

            if of not in checkpoint.name:
                return its_own(checkpoint, device, dtype, going_on)
            self.reached.set()
            while not self.go.wait(0.01):
                step()
            return its_own(checkpoint, device, dtype, step)

        monkeypatch.setattr(registry, "open_model", held)


# One model is one


def test_a_directory_is_one_model_by_whatever_way_it_is_named(
    directory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (directory.parent / "link").symlink_to(directory)
    monkeypatch.chdir(directory.parent)
    ways = [
        directory, f"{directory}/", f"{directory}/../m", f"{directory.parent}/./m//",
        directory.parent / "link", "m/", "./m", f"{directory.parent}/link/../m",
    ]  # fmt: skip
    assert len({id(engine.load(str(way))) for way in ways}) == 1
    engine.release(str(directory.parent / "link"))
    assert registry.loaded(str(directory)) is None


def test_a_bundled_model_is_one_by_its_name_and_its_path() -> None:
    assert engine.load("seq-gpt2") is engine.load(str(BUNDLED / "seq-gpt2"))
    assert len([m for m in engine.models() if "seq-gpt2" in m.name]) == 1


def test_names_under_way_at_once_are_one_load(
    directory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    one, other = (
        engine.begin(engine.Load(str(directory))),
        engine.begin(engine.Load(f"{directory}/")),
    )
    assert gate.reached.wait(20)
    gate.go.set()
    assert one.result() is other.result() is engine.load(str(directory))
    assert one.progress == 1 and one.done


# A directory saved anew


def save_anew(directory: Path, by: float = 0.5, keep_time: bool = False) -> None:
    weights = directory / "model.safetensors"
    told = weights.stat()
    held = {k: v.clone() + by * torch.randn_like(v) for k, v in load_file(weights).items()}
    save_file(held, weights, {"format": "pt"})
    if keep_time:
        os.utime(weights, ns=(told.st_atime_ns, told.st_mtime_ns))


@pytest.mark.parametrize("keep_time", [False, True])
def test_a_directory_saved_anew_answers_with_its_new_weights(
    directory: Any, keep_time: bool
) -> None:
    before, old = first(directory), weakref.ref(engine.load(str(directory)).hf)
    save_anew(directory, keep_time=keep_time)
    after = first(directory)
    assert list(after.logits) != list(before.logits)
    plain = registry.load(str(directory))
    ids = torch.tensor([plain.tokenizer.encode(PROMPT).ids])
    fresh = shutil.copytree(directory, directory.parent / "fresh")
    expected = first(fresh)
    assert ids.shape[1] and list(after.logits) == list(expected.logits)
    engine.release(str(fresh))
    gc.collect()
    assert old() is None
    assert [m.name for m in engine.models()].count(str(directory)) == 1


def test_a_directory_replaced_by_another_architecture_is_that(directory: Any) -> None:
    assert "GPT2" in engine.load(str(directory)).checkpoint.architecture
    shutil.rmtree(directory)
    directory.mkdir()
    save_model("llama", directory)
    assert "Llama" in engine.load(str(directory)).checkpoint.architecture


def test_a_tokenizer_or_config_written_anew_is_noticed_too(directory: Any) -> None:
    old = engine.load(str(directory))
    config = directory / "config.json"
    config.write_text(config.read_text().replace('"layer_norm_epsilon": 1e-05',
                                                 '"layer_norm_epsilon": 0.5'))  # fmt: skip
    assert engine.load(str(directory)) is not old


def test_files_touched_and_not_changed_are_the_same_model(directory: Any) -> None:
    old = engine.load(str(directory))
    (directory / "config.json").touch()
    (directory / "README.md").write_text("words")
    (directory / "card.json").write_text("{}")
    assert engine.load(str(directory)) is old


def test_a_directory_that_is_gone_or_half_saved_gives_a_sentence_and_then_the_model(
    directory: Any,
) -> None:
    engine.load(str(directory))
    kept = shutil.move(directory, directory.parent / "away")
    with pytest.raises(engine.ModelError, match="no directory"):
        engine.load(str(directory))
    directory.mkdir()
    shutil.copy(Path(kept) / "config.json", directory)
    with pytest.raises(engine.ModelError, match=r"no \*\.safetensors"):
        engine.load(str(directory))
    shutil.copytree(kept, directory, dirs_exist_ok=True)
    assert engine.load(str(directory)).shape.n_layers


def test_asking_for_a_loaded_model_takes_next_to_nothing() -> None:
    engine.load("seq-gpt2")
    begun = time.process_time()
    for _ in range(100):
        engine.load("seq-gpt2")
    assert (time.process_time() - begun) / 100 < 0.002


# A load is called off, and stands in nobody's way


def test_the_source_of_attention_is_read_once_of_all_layers_and_loads(
    directory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Any] = []
    monkeypatch.setattr(inspect, "getsource", noting(read, lambda kind: kind, inspect.getsource))
    attention._asks_by_name.cache_clear()
    for _ in range(2):
        engine.load(str(directory))
        engine.release(str(directory))
    assert read.count(GPT2Attention) == 1


def test_others_load_while_one_is_read(
    directory: Any, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch, str(directory))
    slow = engine.begin(engine.Load(str(directory)))
    assert gate.reached.wait(20)
    assert engine.load(str(tiny("llama"))).shape.n_layers
    assert engine.load("seq-gpt2").shape.n_layers
    assert not slow.done
    gate.go.set()
    assert slow.result().shape.n_layers


def test_a_load_called_off_leaves_nothing_and_can_be_begun_again(
    directory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    asked = engine.begin(engine.Load(str(directory)))
    assert gate.reached.wait(20)
    asked.cancel()
    with pytest.raises(engine.Cancelled):
        asked.result(20)
    assert asked.done and ended(f"loading {directory}"[:68])
    state = registry._registry
    assert not state._loads and not state._busy and not state._promised
    assert not building._watches and not building._building.locked()
    assert registry.loaded(str(directory)) is None
    gate.go.set()
    assert engine.load(str(directory)).shape.n_layers


@pytest.mark.parametrize("step", [3, 40, 90, 130])
def test_a_load_called_off_at_any_part_keeps_no_weight_and_no_thread(
    directory: Any, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    made: list[weakref.ref] = []
    before = threads()

    def see(module: Any, name: str, parameter: Any) -> None:
        if parameter is not None and threading.current_thread().name.startswith("loading"):
            made.append(weakref.ref(module))

    from torch.nn.modules import module as registering

    hook = registering.register_module_parameter_registration_hook(see)
    its_own = Load.going_on
    calls = []

    def going_on(load: Any) -> None:
        calls.append(1)
        if len(calls) == step:
            load._stop.set()
        its_own(load)

    monkeypatch.setattr(Load, "going_on", going_on)
    asked = engine.begin(engine.Load(str(directory)))
    with pytest.raises(engine.Cancelled):
        asked.result(60)
    hook.remove()
    assert wait(lambda: threads() <= before), threads() - before
    gc.collect()
    assert not [ref for ref in made if ref() is not None]
    assert not registry._registry._promised


def test_it_ends_only_when_all_who_asked_have_called_it_off(
    directory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch)
    one, other = (
        engine.begin(engine.Load(str(directory))),
        engine.begin(engine.Load(str(directory))),
    )
    assert gate.reached.wait(20)
    one.cancel()
    one.cancel()  # twice is once
    with pytest.raises(engine.Cancelled):
        one.result()
    assert not other.done
    gate.go.set()
    assert other.result().shape.n_layers


def test_another_model_chosen_in_a_view_calls_off_the_one_it_waits_for(
    directory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(monkeypatch, str(directory))
    slow = engine.begin(engine.Load(str(directory)), view="page")
    assert gate.reached.wait(20)
    again = engine.begin(engine.Load(str(directory)), view="page")  # the page ran anew
    assert slow.done and not again.done
    engine.begin(engine.Load("seq-gpt2"), view="page").result()
    with pytest.raises(engine.Cancelled):
        again.result(20)
    assert ended(f"loading {directory}"[:68])


def test_a_directory_that_lies_holds_up_nobody_and_leaves_nothing(
    directory: Any, tiny: Tiny
) -> None:
    config = directory / "config.json"
    config.write_text(config.read_text().replace('"n_layer": 3', '"n_layer": 10000000'))
    before = threads()
    lies = [engine.begin(engine.Load(str(directory))) for _ in range(5)]
    assert engine.load(str(tiny("llama"))).shape.n_layers
    for one in lies:
        with pytest.raises(engine.ModelError, match="10,000,000"):
            one.result(20)
    other = re.compile(rf"(worker|beside) {tiny('llama')}.*")
    assert wait(lambda: {t for t in threads() if not other.fullmatch(t)} <= before), threads()
    assert not registry._registry._loads and not registry._registry._promised


def test_a_load_that_fails_lets_go_of_what_it_read_though_its_error_is_kept(
    directory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[weakref.ref] = []

    def refuse(model: Any, *_: Any) -> None:
        kept.append(weakref.ref(model.hf))
        raise engine.ModelError("not this one")

    last = "certify" if hasattr(registry, "certify") else "_vouch"
    monkeypatch.setattr(registry, last, refuse)
    with pytest.raises(engine.ModelError, match="not this one") as told:
        engine.load(str(directory))
    gc.collect()
    assert told.value is not None and kept[0]() is None
    assert ended(f"loading {directory}"[:68])


def test_room_promised_to_a_load_is_not_promised_again(
    directory: Any, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = str(tiny("llama"))
    for name in [m.name for m in engine.models() if m.loaded]:
        engine.release(name)
    gate = Gate(monkeypatch, str(directory))
    slow = engine.begin(engine.Load(str(directory)))
    assert gate.reached.wait(20)
    monkeypatch.setattr("engine.model.budget.free_bytes", lambda _: 250_000)  # room for one of them
    waits = engine.begin(engine.Load(other))
    assert wait(lambda: waits.doing == "Making room") and not waits.done
    time.sleep(0.2)
    assert not waits.done
    slow.cancel()
    assert waits.result(20).shape.n_layers


def test_the_same_model_in_two_dtypes_at_once_is_loaded_in_turn(directory: Any) -> None:
    wishes = ["float32", "bfloat16", "float32", "bfloat16"]
    asked = [engine.begin(engine.Load(str(directory), dtype=dtype)) for dtype in wishes]
    for one, dtype in zip(asked, wishes, strict=True):
        assert str(one.result(60).dtype) == f"torch.{dtype}"
    assert len([m for m in engine.models() if m.name == str(directory)]) == 1


def test_as_few_as_make_room_go_the_least_recently_used_first(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in list(registry.loaded_models()):
        engine.release(str(place))
    new, *old = (str(tiny(kind)) for kind in ("llama", "gpt2", "mistral", "opt"))
    sizes = {name: engine.load(name).nbytes for name in (*old, new)}
    engine.release(new)
    engine.load(old[0])  # which is then the most recently used
    used = sum(sizes[name] for name in old)
    total = used + sizes[new] * budget.ROOM - sizes[old[1]] - 1  # more is lacking than one holds

    def free(device: Any) -> float:
        return total - sum(model.nbytes for model in registry.loaded_models().values())

    monkeypatch.setattr("engine.model.budget.free_bytes", free)
    engine.load(new)
    held = {str(place) for place in registry.loaded_models()}
    assert held == {str(Path(name).resolve()) for name in (new, old[0])}
