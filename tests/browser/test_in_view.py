"""Results stay in view beside a deep grid, are dimmed while they are old, and a lost connection is
told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from transformers import AutoConfig, AutoModelForCausalLM

from tests.support.some import some
from tests.support.tiny_models import WORDS, Tiny
from tests.support.turning import turn

SLOW = 180_000


@pytest.fixture
def deep(tiny: Tiny, tmp_path: Path) -> str:
    """A model of 30 layers."""
    folder = tmp_path / "deep"
    shutil.copytree(tiny("gpt2"), folder)
    config = AutoConfig.from_pretrained(folder)
    config.n_layer = 30
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return str(folder)


def test_a_deep_grids_last_layer_and_what_it_does_are_seen_at_once(
    page: Page, address: str, deep: str
) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    prompt, answer = "+".join(WORDS[:4]), f"+{WORDS[1]}&distractor=+{WORDS[2]}"
    turn(page, f"{address}/?model={deep}&prompt={prompt}&answer={answer}")
    table = page.get_by_role("table", name="Clean and ablated")
    expect(table).to_be_visible(timeout=SLOW)
    cell = page.get_by_role("checkbox", name="L29H0", exact=True)
    cell.click()
    expect(page.get_by_text("1 site changed")).to_be_visible()
    numbers = page.locator(".number")
    answers = numbers.filter(has_text="Rank of the answer"), numbers.filter(has_text="Logit diff")
    for one in (cell, *answers, *(table.get_by_role("row").nth(i) for i in (1, 2, 3))):
        box = some(one.bounding_box())
        assert box["y"] > 0 and box["y"] + box["height"] < 800, one


def test_what_is_looked_at_stays_in_view_beside_a_deep_grid(
    page: Page, address: str, deep: str
) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    turn(page, f"{address}/attention?model={deep}&prompt={'+'.join(WORDS[:4])}&heads=2.1")
    beside = page.get_by_role("textbox", name="Heads to look at")
    first = page.locator(".grid [data-i]").first
    expect(first).to_be_visible(timeout=SLOW)
    settled = page.locator("[data-testid=stApp][data-test-script-state=notRunning]")
    expect(settled).to_be_visible(timeout=SLOW)

    def apart() -> float:
        return some(beside.bounding_box())["y"] - some(first.bounding_box())["y"]

    before = apart()
    page.locator(".grid [data-i]").last.scroll_into_view_if_needed()
    assert some(first.bounding_box())["y"] < 0  # the grid is deeper than the page
    assert apart() > before + 200  # and what is beside it does not go with it
    expect(page.locator(".sb-circuitsvis")).to_be_in_viewport(ratio=0.5)


def test_what_is_old_is_dimmed_and_a_lost_connection_is_told(fresh: Page, address: str) -> None:
    page = fresh
    waiting: list[tuple[WebSocketRoute, bytes | str]] = []
    sockets: list[WebSocketRoute] = []
    state = {"held": False, "lost": False}

    def passes(message: bytes | str) -> bool:
        """Whether it only tells that a run has begun."""
        told = ForwardMsg.FromString(message if isinstance(message, bytes) else message.encode())
        begun = told.session_status_changed.script_is_running
        return told.WhichOneof("type") in ("new_session", "page_info_changed") or begun

    def route(socket: WebSocketRoute) -> None:
        if state["lost"]:
            socket.close()
            return
        sockets.append(socket)

        def hand_on(message: bytes | str) -> None:
            if state["held"] and not passes(message):
                waiting.append((socket, message))
            else:
                socket.send(message)

        socket.connect_to_server().on_message(hand_on)

    page.route_web_socket(lambda url: "/_stcore/stream" in url, route)
    page.goto(f"{address}/?model=seq-gpt2&prompt=1+2+3+4&answer=+5")
    expect(page.get_by_role("table", name="Clean and ablated")).to_be_visible(timeout=SLOW)
    app = page.get_by_test_id("stApp")
    expect(app).to_have_attribute("data-test-script-state", "notRunning")
    results = page.locator(".st-key-rankings")
    expect(results).to_have_css("opacity", "1")
    state["held"] = True
    page.get_by_role("checkbox", name="L0H3", exact=True).click()
    expect(results).to_have_css("opacity", "0.45")
    transition = results.evaluate(
        "e => { const s = getComputedStyle(e);"
        " return parseFloat(s.transitionDelay) + parseFloat(s.transitionDuration); }"
    )
    assert transition <= 0.2  # of the 0.3 s, which begin with the click
    state["held"] = False
    for socket, message in waiting:
        socket.send(message)
    expect(page.get_by_text("1 site changed")).to_be_visible()
    expect(results).to_have_css("opacity", "1")

    banner = "() => getComputedStyle(document.querySelector('.stApp'), '::before').content"
    assert page.evaluate(banner) == "none"
    state["lost"] = True
    sockets[-1].close()
    page.wait_for_function(f"({banner})().includes('connection to the dashboard is lost')")
    state["lost"] = False
    page.wait_for_function(f"({banner})() === 'none'")
