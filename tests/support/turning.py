"""A tab of the dashboard turned from one view to another, as Back turns it. To open it anew costs a
browser ten times as much, next to nothing of which is the dashboard's own doing."""

from __future__ import annotations

from itertools import count
from urllib.parse import urlsplit

from playwright.sync_api import Error, Page

PUSH = """address => { History.prototype.pushState.call(history, {}, "", address);
  dispatchEvent(new PopStateEvent("popstate", { state: {} })); }"""
"""Turn a tab to an address of its server, as Back would: by the browser's own pushState, as the
dashboard's keeps an entry for what the reader does alone."""
_BOX = "document.querySelector('textarea[aria-label=Prompt]')"
_LEFT_BEHIND = f"prompt => {_BOX} && {_BOX}.value !== prompt"
_SETTLED = f"prompt => {_BOX}?.value === prompt || !location.search.includes(prompt)"
_RESTS = "document.querySelector('[data-test-script-state=notRunning]')"
_PATIENCE = 10_000
"""Milliseconds until a tab that does not leave its view is given up."""
_MARK = "left-"
_numbers = count()


def turn(page: Page, address: str) -> None:
    """Show the view of a link in a tab. It is opened anew in a tab that shows no view of that
    server, and without a query, which is what a visitor sees who comes without a link.

    A key is pressed, or the dashboard leaves the address as it is, as after Back: of a link that is
    not told in full it would go on to hold that the reader came by another.
    """
    there = urlsplit(address)
    turns = there.query and there.netloc == urlsplit(page.url).netloc
    if turns and (left := _left(page) or leave(page)):
        page.evaluate(PUSH, address)
        page.keyboard.press("Shift")
        page.wait_for_function(_LEFT_BEHIND, arg=left)
    else:
        page.goto(address)


def leave(page: Page) -> str:
    """Turn to a view without a model, which shows nothing: what is seen after that is of the next.

    Returns: its prompt, which no other has; none where the tab does not come to it.
    """
    if not page.evaluate(f"Boolean({_BOX})"):
        return ""
    try:
        for _ in range(3):  # a widget that has just changed outdoes the address
            prompt = f"{_MARK}{next(_numbers)}"
            page.wait_for_function(_RESTS, timeout=_PATIENCE)
            page.evaluate(PUSH, f"?model=&prompt={prompt}")
            page.wait_for_function(_SETTLED, arg=prompt, timeout=_PATIENCE)
            if _left(page) == prompt:
                page.wait_for_function(_RESTS, timeout=_PATIENCE)
                return prompt
    except Error:
        pass
    return ""


def _left(page: Page) -> str:
    """The prompt of the view that a tab was left at, if it was."""
    prompt: str = page.evaluate(f"{_BOX}?.value ?? ''")
    return prompt if prompt.startswith(_MARK) else ""
