"""What a component shows is what was sent last, in whatever order it comes to its view."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

STANDING = Path(__file__).parents[2] / "assets/components/standing.js"
OVERLAPPING = """async standing => {
  const shown = [], order = [];
  for (let round = 0; round < 60; round++) {
    const long = "//" + "x".repeat(round * 6000); // which takes its time to be read
    const source = standing + `class View {
      constructor(root) { this.root = root; }
      update(data) { this.root.textContent = data.sent; }
    }
    export default standing(View);` + long;
    const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const parentElement = document.createElement("div"), all = [], came = [];
    for (let sent = 1; sent <= 4; sent++) {
      const drawn = ({ default: draw }) => draw({ parentElement, data: { sent } });
      all.push(import(url).then(m => { came.push(sent); drawn(m); }));
      if (round % 2) await 0;
    }
    await Promise.all(all);
    order.push(String(came)); shown.push(parentElement.textContent);
  }
  return [shown, order];
}"""
"""Four imports of one module that is new to the browser, as Streamlit makes one for each data."""


def test_the_newest_data_stay_where_imports_overlap(page: Page) -> None:
    page.goto("about:blank")
    shown, order = page.evaluate(OVERLAPPING, STANDING.read_text("utf-8"))
    assert set(shown) == {"4"}
    assert {came[-1] for came in order} - {"4"}, "imports end in order: nothing was tried"


def test_the_same_data_are_drawn_anew_where_only_the_theme_is_another(page: Page) -> None:
    page.goto("about:blank")
    drawn = page.evaluate(
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
