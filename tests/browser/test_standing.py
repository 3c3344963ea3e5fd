"""What a component shows is what was sent last, in whatever order it comes to its view."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

from pages._parts.components import PALETTE_JS

COMPONENTS = Path(__file__).parents[2] / "assets/components"
STANDING = COMPONENTS / "standing.js"
IN_EVERY_ORDER = """async standing => {
  const source = standing + `class View {
    constructor(root) { this.root = root; }
    update(data) { this.root.textContent = data.sent; }
  }
  export default standing(View);`;
  const blob = new Blob([source], { type: "text/javascript" });
  const { default: draw } = await import(URL.createObjectURL(blob));
  const orders = all => all.length < 2 ? [all]
    : all.flatMap((one, i) => orders(all.toSpliced(i, 1)).map(rest => [one, ...rest]));
  return orders([1, 2, 3, 4]).map(order => {
    const parentElement = document.createElement("div");
    order.forEach(sent => draw({ parentElement, data: { sent } }));
    return [String(order), parentElement.textContent];
  });
}"""
"""Streamlit imports a module anew for each of its data, and imports end in any order."""


def test_the_newest_data_stay_in_whatever_order_they_come(fresh: Page) -> None:
    fresh.goto("about:blank")
    shown = dict(fresh.evaluate(IN_EVERY_ORDER, STANDING.read_text("utf-8")))
    assert len(shown) == 24 and set(shown.values()) == {"4"}


def test_the_same_data_are_drawn_anew_where_only_the_theme_is_another(fresh: Page) -> None:
    fresh.goto("about:blank")
    drawn = fresh.evaluate(
        """async standing => {
        const source = standing + `let n = 0;
          class View { update(data) { n++; } }
          export default standing(View);
          export const drawn = () => n;`;
        const blob = new Blob([source], { type: "text/javascript" });
        const m = await import(URL.createObjectURL(blob));
        const parentElement = document.createElement("div");
        for (const sent of [5, 5, 4, 6]) m.default({ parentElement, data: { sent } });
        return m.drawn();
        }""",
        STANDING.read_text("utf-8"),
    )
    assert drawn == 3


def test_what_has_left_the_page_is_asked_for_its_colours_without_an_error(fresh: Page) -> None:
    fresh.set_content("<p style='color: #eee'>light</p>")
    asked = fresh.evaluate(
        """async heat => {
        const blob = new Blob([heat + "export { isDark };"], { type: "text/javascript" });
        const { isDark } = await import(URL.createObjectURL(blob)), p = document.querySelector("p");
        const before = isDark(p);
        p.remove();
        return [before, isDark(p)];
        }""",
        PALETTE_JS + (COMPONENTS / "heat.js").read_text("utf-8"),
    )
    assert asked == [True, False]
