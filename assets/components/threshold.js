// Shared: the bar of a tinted grid. Dragged, it outlines the cells whose numbers come first; what is
// outlined is switched off, kept alone or made a circuit by one click.
// Its grid names cells (`name`) and says which are MLPs (`isMlp`), writes numbers (`written`), draws
// what is outlined (`outline`: cell -> "value (rank of total)") and tells Python what is asked of it
// (`actOn`). Nothing is told while the bar moves.
const ORDERS = { // which numbers come first: the greatest of `by`, of those that `counts`
  size: { says: "either way", by: Math.abs, counts: v => v !== 0 },
  below: { says: "below 0", by: v => -v, counts: v => v < 0 },
  above: { says: "above 0", by: v => v, counts: v => v > 0 },
  greatest: { says: "greatest", by: v => v, counts: v => v !== 0 },
  least: { says: "least", by: v => -v, counts: () => true },
};
const TOPS = [5, 10, 20];
const ACTS = { patch: "Patch", paths: "Paths from them", off: "Switch off", keep: "Keep only", circuit: "Make a circuit" };

// Ranks of the numbers that count, best first, as [cell, number, rank]: 1 is best, equal ones share
// theirs.
function ranking(numbers, { by, counts }) {
  const ranked = numbers.map((v, i) => [i, v]).filter(([, v]) => v !== null && counts(v))
    .sort(([, a], [, b]) => by(b) - by(a));
  let rank = 0, last;
  return ranked.map(([i, v], place) => {
    if (by(v) !== last) { rank = place + 1; last = by(v); }
    return [i, v, rank];
  });
}

class Threshold {
  constructor(place, grid, count = 0) { // count: how many are outlined at first
    this.place = place; this.grid = grid; this.count = count; this.ranked = []; this.outlined = [];
    place.innerHTML = `<span class="tops" role="group" aria-label="Outline the first">Top ${TOPS.map(n =>
      `<button type="button" data-top="${n}">${n}</button>`).join("")}</span>
      <div class="reach" role="slider" tabindex="0" aria-label="How many are outlined" aria-valuemin="0">
        <svg aria-hidden="true" viewBox="0 0 1 1" preserveAspectRatio="none"><path/></svg><svg class="in" aria-hidden="true" viewBox="0 0 1 1" preserveAspectRatio="none"><path/></svg><i></i></div>
      <select aria-label="Which come first"></select><label title="Whether MLPs are ranked too"><input type="checkbox">MLPs</label>
      <span class="acts">${Object.entries(ACTS).map(([act, says]) =>
        `<button type="button" data-act="${act}">${says}</button>`).join("")}</span>`;
    this.reach = place.querySelector(".reach");
    this.select = place.querySelector("select");
    this.mlps = place.querySelector("input");
    this.listen();
  }

  listen() {
    const moved = e => {
      const { left, width } = this.reach.getBoundingClientRect();
      const share = Math.max(0, Math.min(1, (e.clientX - left) / width));
      this.set(Math.round(this.ranked.length * share ** 2)); // the first few have most of the way
    };
    this.reach.addEventListener("pointerdown", e => {
      if (e.button) return;
      this.reach.setPointerCapture(e.pointerId);
      moved(e);
    });
    this.reach.addEventListener("pointermove", e => { if (this.reach.hasPointerCapture(e.pointerId)) moved(e); });
    this.reach.addEventListener("keydown", e => {
      const by = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: 10, PageDown: -10,
        Home: -Infinity, End: Infinity }[e.key];
      if (by === undefined) return;
      e.preventDefault();
      this.set(this.count + by);
    });
    for (const box of [this.select, this.mlps]) box.addEventListener("change", () => { this.marked = null; this.rank(); });
    this.place.addEventListener("click", e => {
      const { top, act } = e.target.closest("button")?.dataset ?? {};
      if (top) this.set(this.count === +top && !this.marked ? 0 : +top);
      if (act) this.grid.actOn({ what: act, cells: this.outlined, mlps: this.withMlps() });
    });
  }

  set(count) {
    this.marked = null;
    this.count = Math.max(0, Math.min(this.ranked.length, count));
    this.show();
  }

  outlineFirst(count) { // of the order that is the numbers' own
    this.select.selectedIndex = 0;
    this.rank();
    this.set(count);
  }

  withMlps() { return this.mlps.checked || this.outlined.some(i => this.grid.isMlp(i)); }

  rank() {
    const numbers = this.numbers.map((v, i) => this.mlps.checked || !this.grid.isMlp(i) ? v : null);
    this.order = ORDERS[this.select.value] ?? ORDERS.size; // of a grid without numbers
    this.total = numbers.filter(v => v !== null).length;
    this.ranked = ranking(numbers, this.order);
    this.ranks = new Map(this.ranked.map(([i, , rank]) => [i, rank]));
    this.profile();
    this.show();
  }

  profile() { // the numbers in order, as a falling staircase
    const { by } = this.order, n = this.ranked.length, sizes = this.ranked.map(([, v]) => by(v));
    const floor = Math.min(0, ...sizes), most = sizes[0] - floor || 1;
    const steps = sizes.map((size, i) => `V${1 - (size - floor) / most}H${Math.sqrt((i + 1) / n)}`);
    this.reach.querySelectorAll("path").forEach(path => path.setAttribute("d", `M0 1${steps.join("")}V1Z`));
  }

  told(i) { // a cell's number with its rank, as far as there are such
    const value = this.numbers[i], rank = this.ranks.get(i);
    if (value === null || value === undefined) return "";
    return this.grid.written(value) + (rank ? ` (${rank} of ${this.total})` : "");
  }

  says() { // what is outlined, in words; empty where nothing is
    if (!this.outlined.length) return "";
    const each = this.outlined.map(i => `${this.grid.name(i)} ${this.told(i)}`.trim());
    return `${this.outlined.length} outlined: ${each.join(" · ")}`;
  }

  show() {
    const first = this.ranked.filter(([, , rank]) => rank <= this.count);
    this.outlined = this.marked ?? first.map(([i]) => i);
    const none = !this.outlined.length, n = this.ranked.length;
    const last = first.at(-1);
    const count = this.marked ? 0 : Math.min(n, this.count);
    this.reach.style.setProperty("--at", `${n ? 100 * Math.sqrt(count / n) : 0}%`);
    for (const [name, value] of Object.entries({ max: n, now: count,
      text: last ? `${first.length} of ${this.total}, to ${this.grid.written(last[1])}` : "none" }))
      this.reach.setAttribute("aria-value" + name, value);
    this.reach.setAttribute("aria-disabled", String(!n));
    this.place.querySelectorAll("button").forEach(b => {
      b.disabled = b.dataset.act ? none : !n;
      if (b.dataset.top) b.setAttribute("aria-pressed", String(!none && !this.marked && this.count === +b.dataset.top));
    });
    this.tellActs();
    this.grid.outline(new Map(this.outlined.map(i => [i, this.told(i)])), this.ranks);
  }

  tellActs() {
    const mlps = this.withMlps();
    const titles = { off: "Switch off what is outlined; the rest stays as it is",
      keep: mlps ? "Switch off every head and MLP but those outlined" : "Switch off every head but those outlined; MLPs stay on",
      patch: "Patch all that is outlined, in every view",
      paths: "Which of the later parts these act on directly: their paths, on the Circuits page",
      circuit: mlps ? "Open what is outlined as a circuit" : "Open what is outlined as a circuit that keeps all MLPs" };
    for (const [act, title] of Object.entries(titles)) this.place.querySelector(`[data-act=${act}]`).title = title;
  }

  // numbers: one a cell or null; orders: which may come first, the first of them by itself; marked:
  // the cells ticked in a table beside, which take the bar's place until it is moved; acts: what
  // can be done with what is outlined.
  update(numbers, orders, marked, acts = ["off", "keep", "circuit"]) {
    for (const b of this.place.querySelectorAll("[data-act]")) b.hidden = !acts.includes(b.dataset.act);
    this.place.hidden = !numbers;
    this.numbers = numbers ?? [];
    if (String(orders) !== this.orders) {
      this.orders = String(orders);
      this.select.replaceChildren(...orders.map(o => new Option(ORDERS[o].says, o)));
    }
    if (String(marked) !== this.ticked) {
      this.ticked = String(marked);
      this.marked = marked.length ? marked : null;
    }
    this.mlps.parentElement.hidden = !this.numbers.some((v, i) => v !== null && this.grid.isMlp(i));
    this.rank();
  }
}
