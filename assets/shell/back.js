// One entry of the browser's history for each thing the reader does. What Streamlit adds by itself, as
// a link told in full after a page was turned, would send Back to where it comes from; and what it
// tells late, when the reader has gone back or forward meanwhile, would be told of another entry.
{
  let acts = false, goes = false; // has the reader done something since, or gone back or forward last
  for (const kind of ["pointerdown", "pointerup", "keydown", "drop", "change"])
    addEventListener(kind, e => { if (e.isTrusted) [acts, goes] = [true, false]; }, true);
  addEventListener("popstate", () => { [acts, goes] = [false, true]; }, true);

  const push = history.pushState.bind(history);
  history.pushState = (state, unused, url) => {
    const same = new URL(url ?? "", location.href).pathname === location.pathname;
    const inFull = location.search.includes("model=");
    if (goes && (inFull || !same)) return;
    const adds = !same || (acts && location.search);
    acts = false;
    return adds ? push(state, unused, url) : history.replaceState(state, unused, url);
  };
}
