// The ways past the menus: to the switches, where a page has some, else to what it shows; to the prompt.
{
  const nav = document.getElementById("sb-skip");
  document.body.prepend(nav);

  const WAYS = {
    page: () => {
      const main = document.querySelector("[data-testid=stMain]");
      const grids = [...main?.querySelectorAll("[data-testid=stBidiComponentIsolated]") ?? []];
      return grids.map(e => e.shadowRoot?.querySelector(".grid [tabindex='0']")).find(Boolean) ??
        main?.querySelector("input, textarea, button, [tabindex='0']");
    },
    prompt: () => document.querySelector("textarea[aria-label=Prompt]"),
  };
  const go = way => {
    const to = WAYS[way]?.();
    to?.scrollIntoView({ block: "center" });
    to?.focus({ preventScroll: true });
  };
  nav.addEventListener("click", e => { e.preventDefault(); go(e.target.dataset.to); });
  document.addEventListener("keydown", e => {
    const way = { KeyS: "page", KeyP: "prompt" }[e.code];
    if (!way || !e.altKey || e.ctrlKey || e.metaKey) return;
    e.preventDefault();
    go(way);
  });
}
