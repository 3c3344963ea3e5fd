"""A tab of the browser, and what it must not do."""

from __future__ import annotations

from dataclasses import dataclass, field

from playwright.sync_api import Browser, Page, ViewportSize

SIZE: ViewportSize = {"width": 1280, "height": 900}


@dataclass
class Tab:
    """A tab that must ask nothing of any other machine and log no error."""

    page: Page
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, browser: Browser) -> Tab:
        """A new one, in a context of its own."""
        one = cls(browser.new_context(viewport=SIZE).new_page())
        one.page.set_default_timeout(120_000)
        local = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")
        one.page.on(
            "request", lambda r: None if r.url.startswith(local) else one.outside.append(r.url)
        )
        one.page.on("pageerror", lambda e: one.errors.append(str(e)))
        return one

    def check(self) -> None:
        """Fail where it asked another machine or logged an error."""
        assert not self.outside, f"asked for {self.outside}"
        assert not self.errors, self.errors

    def close(self) -> None:
        """Close it, and check it."""
        self.page.context.close()
        self.check()
