"""A tab of the browser, and what it must not do."""

from __future__ import annotations

from dataclasses import dataclass, field

from playwright.sync_api import Browser, Page, ViewportSize

SIZE: ViewportSize = {"width": 1280, "height": 900}
_STILL = """width => new Promise(done => {
  const places = () => JSON.stringify([...document.querySelectorAll("section, svg, canvas, table")]
    .map(e => [e.scrollWidth, e.clientWidth, e.getBoundingClientRect()]));
  let before = "", same = 0;
  const look = () => {
    const now = places();
    same = innerWidth === width && now === before ? same + 1 : 0;
    before = now;
    same < 3 ? requestAnimationFrame(look) : done();
  };
  look();
})"""
"""What observes sizes is told of new ones only as a frame is drawn."""


def resize(page: Page, width: int, height: int = SIZE["height"]) -> None:
    """Make a tab that wide and tall, and wait until what is in it has found its place."""
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate(_STILL, width)


@dataclass
class Tab:
    """A tab that must ask nothing of any other machine and log no error."""

    page: Page
    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, browser: Browser) -> Tab:
        """A new one, in a context of its own. What moves while a page waits stands still: without a
        GPU each of its frames is the processor's work."""
        one = cls(browser.new_context(viewport=SIZE, reduced_motion="reduce").new_page())
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
