"""What only a browser can show of the Tokenizer page."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from playwright.sync_api import Page, expect

from tests.support.turning import turn

SLOW = 180_000


def open_view(page: Page, address: str, show: str, prompt: str, **more: str) -> None:
    query = {"model": "seq-llama", "prompt": prompt, "show": show, **more}
    turn(page, f"{address}/tokenizer?" + "&".join(f"{k}={quote(v)}" for k, v in query.items()))
    expect(page.get_by_role("radiogroup", name="View")).to_be_visible(timeout=SLOW)


def tokens_of(page: Page, name: str, row: str) -> list[str]:
    table = page.get_by_role("table", name=name)
    expect(table).to_be_visible(timeout=SLOW)
    chips = table.get_by_role("row").filter(has_text=row).locator(".chip > span")
    return chips.all_inner_texts()


def test_a_cold_link_opens_the_page_with_its_view(page: Page, address: str) -> None:
    open_view(page, address, "answer", "1 2 3 4 ", model="seq-gpt2", answer="5")
    expect(page.get_by_text("Yes: writing the answer")).to_be_visible(timeout=SLOW)
    assert tokens_of(page, "The prompt with its answer", "Prompt and answer")[-1] == "␣5"


def test_twins_and_other_tokenizers_stand_under_each_other(page: Page, address: str) -> None:
    open_view(page, address, "twins", "1 2 3", answer=" 4")
    assert tokens_of(page, "The prompt and its twins", "with a space at its end")[-1] == "␣"
    page.get_by_text("Other tokenizers", exact=True).click()
    expect(page).to_have_url(re.compile("show=tokenizers"))
    assert tokens_of(page, "The prompt under each tokenizer", "seq-gpt2") == ["1", "␣2", "␣3"]
    blocks = page.get_by_role("table", name="The prompt under each tokenizer").locator(
        "thead .block"
    )
    assert blocks.all_inner_texts() == ["1", "␣2", "␣3"]


def test_markup_in_tokens_is_shown_and_never_run(page: Page, address: str) -> None:
    text = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"
    for show in ("twins", "tokenizers", "sentencepiece", "answer"):
        open_view(page, address, show, text, answer="<b>x</b>")
        expect(page.locator(".chip").first).to_be_visible(timeout=SLOW)
        assert page.title() != "run" and page.locator("img[src=x]").count() == 0
        chips = page.get_by_role("table").first.get_by_role("row").nth(1).locator(".chip > span")
        if show in ("tokenizers", "sentencepiece"):  # the others leave a long middle out
            assert "script>document" in "".join(chips.all_inner_texts())


@pytest.mark.parametrize("prompt", ["a%ED%A0%BDb", "%00%1B%E2%80%8B", quote("🚀مرحبا一")])
def test_bad_bytes_in_a_link_leave_the_page_intact(page: Page, address: str, prompt: str) -> None:
    turn(page, f"{address}/tokenizer?model=seq-gpt2&show=twins&prompt={prompt}")
    expect(page.get_by_role("radiogroup", name="View")).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("table", name="The prompt and its twins")).to_be_visible(timeout=SLOW)
    expect(page.get_by_test_id("stException")).to_have_count(0)


def test_the_numbers_download_as_drawings_and_their_csv_has_them_all(
    page: Page, address: str
) -> None:
    open_view(page, address, "numbers", "1")
    expect(page.locator(".sb-figure .heatmaplayer image").first).to_be_attached(timeout=SLOW)
    for name, start in (("PNG", b"\x89PNG"), ("SVG", b"<svg")):
        with page.expect_download() as waiting:
            page.get_by_role("button", name=name, exact=True).click()
        drawn = waiting.value.path().read_bytes()
        assert drawn.startswith(start) and (name == "PNG" or b"</text>" in drawn)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="CSV").click()
    lines = waiting.value.path().read_text("utf-8").splitlines()
    assert lines[0] == "number,tokens,pieces" and len(lines) == 1002


def test_a_prompt_typed_here_is_the_one_of_every_page(page: Page, address: str) -> None:
    open_view(page, address, "tokens", "1 2 3", ablations="0.1")
    box = page.get_by_role("textbox", name="Prompt", exact=True)
    box.fill("7 8 9")
    box.press("Control+Enter")
    expect(page).to_have_url(re.compile("prompt=7\\+8\\+9"))
    page.get_by_role("link", name="Explore").click()
    expect(page.get_by_text("1 site changed")).to_be_visible(timeout=SLOW)
    expect(page.get_by_role("textbox", name="Prompt", exact=True)).to_have_value("7 8 9")
    expect(page.get_by_role("checkbox", name="L0H1", exact=True)).to_have_attribute(
        "aria-checked", "false"
    )
