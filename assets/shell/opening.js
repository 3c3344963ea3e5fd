// Holds the place of a page that opens, or that the reader turns to, until it is whole; not while it
// draws how far something is, nor where its script takes long. What it waits for is said meanwhile.
{
  const LOOK = 50, LONG = 6_000, LONGEST = 30_000; // ms
  const QUIET = 3, BARE = 40; // looks in a row
  const root = document.documentElement, seen = name => document.querySelector(`[data-testid=${name}]`);
  let timer = null;

  // Whether a widget of ours that is to be seen has nothing in it yet, as one without tokens has not.
  const isBare = app => [...app.querySelectorAll("[data-testid=stBidiComponentIsolated]")]
    .flatMap(e => [...e.shadowRoot?.querySelectorAll(":is([role=group], [role=list], [role=region]):empty") ?? []])
    .some(e => e.getClientRects().length);

  const hold = how => {
    const started = performance.now();
    let quiet = 0, running = null;
    clearInterval(timer);
    root.classList.add(how);
    root.style.setProperty("--sb-main", `${seen("stMain")?.getBoundingClientRect().left ?? 0}px`);
    timer = setInterval(() => {
      const app = seen("stApp"), now = performance.now();
      if (app?.dataset.testScriptState === "running" && seen("stTextArea")) running ??= now;
      document.querySelector("#sb-opening p").textContent = seen("stSpinner")?.textContent || "Opening…";
      const there = seen("stMain")?.querySelector("[data-testid=stElementContainer]");
      const whole = there && !app.querySelector("[data-testid=stSkeleton], [aria-busy=true]");
      const rests = app?.dataset.testScriptState === "notRunning" && document.fonts.status === "loaded";
      quiet = whole && rests ? quiet + 1 : 0;
      const tells = running && seen("stProgress");
      const long = whole && running && now - running > LONG;
      const shows = quiet >= QUIET && (!isBare(app) || quiet > BARE);
      if (!shows && !tells && !long && now - started < LONGEST) return;
      clearInterval(timer);
      root.classList.remove("sb-opening", "sb-turning");
    }, LOOK);
  };

  let page = location.pathname;
  globalThis.navigation?.addEventListener("currententrychange", () => {
    if (location.pathname === page) return;
    page = location.pathname;
    if (!root.classList.contains("sb-opening")) hold("sb-turning");
  });
  hold("sb-opening");
}
