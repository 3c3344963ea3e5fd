// A text as the model makes it, clean beside ablated: its tokens to hover, scrub and hold, and both
// runs' best tokens at the step looked at, each a way to branch. More steps come through the feed.
const RUNS = ["clean", "ablated", "unswitched"];
const NAMES = { clean: "Clean", ablated: "Ablated", unswitched: "Unswitched" };
const HINT = "Hover, scrub or use the arrow keys to look at a step; click a token to hold it. " +
  "Click one of the best tokens to branch with it. The stronger the tint, the likelier the token was.";

function chip(step, run, i) {
  const one = step[run], e = make("span", "token");
  e.dataset.i = i; e.tabIndex = -1; e.setAttribute("role", "listitem");
  const kinds = { other: run !== "clean" && step.clean?.id !== one.id,
    forced: one.forced, ends: one.ends };
  for (const [name, on] of Object.entries(kinds)) e.classList.toggle(name, on);
  e.style.setProperty("--sure", `${Math.round(6 + 38 * one.prob)}%`);
  e.append(marked(one.token));
  if (one.retokenizes) e.append(make("span", "again", "↻"));
  e.setAttribute("aria-label", `Step ${step.index}, ${run}: ${one.token}, ${one.percent}`);
  e.title = `step ${step.index} · ${one.piece} · id ${one.id} · ${one.percent} · rank ${one.rank}` +
    (one.forced ? " · given" : "") + (one.ends ? " · end of text" : "") +
    (one.retokenizes ? " · tokenizing the text up to here would give other ids" : "") +
    (one.rewritten ? " · the text was tokenized anew here" : "");
  return e;
}

function moved(move) {
  if (!move) return ["same", "·"];
  const places = Math.abs(move), short = places < 10_000 ? {} : { notation: "compact" }; // "19K"
  return [move > 0 ? "up" : "down", (move > 0 ? "▲" : "▼") + places.toLocaleString("en", short)];
}

function ranked(step, run) {
  const box = make("div"), one = step[run], name = NAMES[run];
  const head = make("h4", "", name + " ");
  box.append(head);
  if (!one) { head.append(make("span", "", "has ended")); return box; }
  head.append(make("span", "", `entropy ${one.entropy} nats`));
  const table = make("table"), body = make("tbody");
  table.setAttribute("aria-label", `${name}, step ${step.index}`);
  one.top.forEach(([id, piece, text, prob, percent, move], place) => {
    const tr = make("tr", id === one.id ? "taken" : ""), choice = make("td", "choice"), b = make("button");
    const cell = make("td", "prob"), bar = make("div", "bar"), [way, places] = run === "clean" ? ["", ""] : moved(move);
    b.type = "button"; b.dataset.id = id; b.dataset.run = run;
    b.title = `${piece} · id ${id} · branch here`;
    b.setAttribute("aria-label", `Branch with ${text}, ${run}`);
    b.append(marked(text)); choice.append(b);
    bar.style.width = `${100 * prob}%`;
    cell.append(bar, make("span", "", percent));
    tr.append(make("td", "rank", place + 1), choice, cell, make("td", "move " + way, places));
    body.append(tr);
  });
  if (!one.top.some(t => t[0] === one.id)) {
    const tr = make("tr", "taken"), cell = make("td", "prob"), choice = make("td", "choice"), b = make("button");
    b.type = "button"; b.dataset.id = one.id; b.dataset.run = run; b.append(marked(one.token)); choice.append(b);
    cell.append(make("span", "", one.percent));
    tr.append(make("td", "rank", one.rank), choice, cell, make("td", "move", ""));
    body.append(tr);
  }
  table.append(body); box.append(table);
  return box;
}

// The same for a paper: both texts in boxes, tokens tinted, then the best tokens of the step shown.
const WIDTH = 860, EDGE = 16, COLUMN = 404, LINE = 19;
const pane = (x, y, width, height, fill, opacity) =>
  `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="3" fill="${fill}" fill-opacity="${opacity}"/>`;

function drawnText(view, run, x, y) {
  const parts = [], style = { anchor: "start", size: 12 };
  let at = x, line = y;
  view.steps.forEach((step, i) => {
    const one = step[run];
    if (!one) return;
    const [shown] = wrapped(one.token, COLUMN - 12, style), width = widthOf(shown, style) + 4;
    if (at + width > x + COLUMN) { at = x; line += LINE; }
    if (i === view.parting) parts.push(pane(at, line - 13, 3, 17, PALETTE.ablated, 1));
    if (i === view.parting) at += 5;
    parts.push(pane(at, line - 13, width - 1, 17, PALETTE.clean, .06 + .38 * one.prob));
    if (run !== "clean" && step.clean?.id !== one.id) parts.push(pane(at, line + 3, width - 1, 2, PALETTE.ablated, 1));
    parts.push(label(at + 2, line, shown + "", style));
    at += width + 1;
  });
  return [parts, line];
}

function drawnTop(step, run, x, y) {
  const one = step?.[run], left = { anchor: "start", size: 11 }, right = { anchor: "end", size: 11 };
  if (!one) return [];
  return [
    label(x, y, `${run} at step ${step.index}`, { ...left, weight: 600 }),
    label(x + COLUMN, y, `entropy ${one.entropy} nats`, { ...right, fill: PALETTE.quiet }),
    ...one.top.flatMap(([id, , text, prob, percent, move], i) => {
      const line = y + (i + 1) * LINE, [way, places] = run === "clean" ? ["", ""] : moved(move);
      return [
        ...(id === one.id ? [pane(x + 26, line - 13, 110, 17, PALETTE.clean, .18)] : []),
        pane(x + 150, line - 13, 190 * prob, 16, PALETTE.clean, .34),
        label(x + 20, line, i + 1, { ...right, fill: PALETTE.quiet }),
        label(x + 30, line, wrapped(text, 100, left)[0], left), label(x + 340, line, percent, right),
        label(x + COLUMN, line, places, { ...right, fill: PALETTE[way] ?? PALETTE.same }),
      ];
    }),
  ];
}

function drawing(view) {
  const parts = [], room = WIDTH - 2 * EDGE, other = WIDTH - EDGE - COLUMN;
  let y = 8;
  for (const [text, style] of [[view.data.title, { size: 14, weight: 600, most: 4 }], [view.data.about, { size: 11, most: 6 }]])
    for (const line of wrapped(text, room, style)) parts.push(label(EDGE, y += style.size + 4, line, { ...style, anchor: "start" }));
  y += 30;
  const step = view.steps[view.looked()];
  for (const pair of [RUNS.slice(0, 2), view.three ? RUNS.slice(2) : []]) {
    if (!pair.length) continue;
    const at = pair.map((_, i) => [EDGE, other][i]);
    pair.forEach((run, i) => parts.push(label(at[i], y, NAMES[run], { anchor: "start", size: 12, weight: 600 })));
    const texts = pair.map((run, i) => drawnText(view, run, at[i], y + 22));
    texts.forEach(([drawn]) => parts.push(...drawn));
    y = Math.max(...texts.map(([, line]) => line)) + 34;
    pair.forEach((run, i) => parts.push(...drawnTop(step, run, at[i], y)));
    y += (1 + Math.max(0, ...pair.map(run => step?.[run]?.top.length ?? 0))) * LINE + 2 * EDGE;
  }
  return [svgOf(WIDTH, y, parts), WIDTH, y];
}

class Generation {
  constructor(root) {
    const part = name => root.querySelector(name);
    this.boxes = Object.fromEntries(RUNS.map(run => [run, part(`[data-run=${run}] .text`)]));
    this.notes = Object.fromEntries(RUNS.map(run => [run, part(`[data-run=${run}] h4 span`)]));
    this.totals = Object.fromEntries(RUNS.map(run => [run, part(`[data-run=${run}] .sums`)]));
    this.tables = part(".tables"); this.where = part(".where"); this.range = part("input");
    this.free = part(".free"); this.says = part(".says"); this.texts = part(".texts");
    this.steps = []; this.hovered = null; this.held = null;
    part('[data-format="csv"]').remove(); // the page has it, with every step
    offerDownloads(root, this);
    this.listen();
  }

  listen() {
    const step = e => e.target.closest?.("[data-i]");
    this.texts.addEventListener("pointerover", e => { const t = step(e); if (t) this.look(+t.dataset.i); });
    this.texts.addEventListener("pointerleave", () => this.look(null));
    this.texts.addEventListener("focusin", e => { const t = step(e); if (t) this.look(+t.dataset.i); });
    this.texts.addEventListener("click", e => { const t = step(e); if (t) this.hold(+t.dataset.i === this.held ? null : +t.dataset.i); });
    this.texts.addEventListener("keydown", e => {
      const t = step(e);
      if (!t) return;
      const i = +t.dataset.i;
      if (e.key === "Enter" || e.key === " ") { e.preventDefault(); this.hold(i === this.held ? null : i); return; }
      const run = t.closest("section").dataset.run, runs = this.runs, at = runs.indexOf(run);
      const to = { ArrowRight: [run, i + 1], ArrowLeft: [run, i - 1], Home: [run, 0], End: [run, this.steps.length - 1],
        ArrowDown: [runs[(at + 1) % runs.length], i], ArrowUp: [runs.at(at - 1), i] }[e.key];
      if (!to) return;
      e.preventDefault();
      this.boxes[to[0]].querySelector(`[data-i="${to[1]}"]`)?.focus();
    });
    this.range.addEventListener("input", () => this.look(+this.range.value));
    this.range.addEventListener("change", () => this.hold(+this.range.value));
    this.free.addEventListener("click", () => this.hold(null));
    this.tables.addEventListener("click", e => {
      const b = e.target.closest("button"), at = this.steps[this.looked()];
      if (b && at) this.api.setTriggerValue("branched", { run: b.dataset.run, step: at.index, id: +b.dataset.id });
    });
    const more = e => {
      if (!this.texts.isConnected) globalThis.removeEventListener("switchboard:steps", more); // gone
      else if (e.detail === this.data?.stream) this.take();
    };
    globalThis.addEventListener("switchboard:steps", more);
  }

  // A third text stands there where heads were switched and it is not the clean one.
  get runs() { return this.three ? RUNS : RUNS.slice(0, 2); }

  // The step looked at: the one under the pointer, else the one held, else the last.
  looked() {
    const last = this.steps.length - 1;
    return Math.min(this.hovered ?? this.held ?? last, last);
  }

  look(i) { this.hovered = i; this.show(); }

  hold(i) {
    this.held = i; this.hovered = null;
    this.api.setTriggerValue("held", i === null ? -1 : this.steps[i].index);
    this.show();
  }

  csv() { return ""; }

  async draw(format) { await saveDrawing(...drawing(this), this.data.name, format); }

  // Add what the feed has brought behind the steps there are.
  take() {
    const waiting = globalThis.switchboardSteps?.get(this.data.stream), fresh = [];
    let next = this.steps.length ? this.steps.at(-1).index + 1 : this.data.first;
    while (waiting?.has(next)) fresh.push(waiting.get(next++));
    if (fresh.length) { this.add(fresh); this.show(); }
  }

  add(steps) {
    for (const step of steps) {
      const i = this.steps.push(step) - 1;
      if (step.parted && this.parting === null) {
        this.parting = i;
        for (const run of RUNS.slice(0, 2)) {
          const bar = make("span", "parts");
          bar.title = `Here the texts part, step ${step.index}`;
          bar.setAttribute("role", "listitem"); bar.setAttribute("aria-label", bar.title);
          this.boxes[run].append(bar);
        }
      }
      const acts = this.data.switches.find(([at]) => at === step.index);
      if (acts) {
        const mark = make("span", "switched", `⇄ ${acts[1]}`);
        mark.title = `From step ${step.index} on: ${acts[1]}`;
        this.boxes.ablated.append(mark);
      }
      this.three ||= step.unswitched !== null;
      for (const run of RUNS) {
        if (!step[run]) continue;
        this.sums[run] += step[run].log_prob; this.counts[run]++;
        const box = this.boxes[run], follows = box.scrollTop + box.clientHeight > box.scrollHeight - 8;
        box.append(chip(step, run, i));
        if (follows) box.scrollTop = box.scrollHeight;
      }
    }
  }

  show() {
    const n = this.steps.length, at = this.looked(), step = this.steps[at];
    this.texts.classList.toggle("three", this.three);
    this.boxes.unswitched.closest("section").hidden = !this.three;
    const acts = { clean: "", ablated: this.data.acts, unswitched: this.data.unswitched };
    for (const run of RUNS) {
      this.totals[run].textContent = n ? `${this.counts[run]} tokens, log-prob ${this.sums[run].toFixed(2).replace("-", "−")}` : "";
      this.notes[run].textContent = acts[run];
      this.notes[run].parentElement.title = acts[run];
      this.boxes[run].querySelectorAll(".at, .held").forEach(e => e.classList.remove("at", "held"));
      this.boxes[run].querySelectorAll("[tabindex='0']").forEach(e => { e.tabIndex = -1; });
      const chip = this.boxes[run].querySelector(`[data-i="${at}"]`);
      if (chip) { chip.classList.add("at"); chip.tabIndex = 0; }
      if (this.held !== null) this.boxes[run].querySelector(`[data-i="${this.held}"]`)?.classList.add("held");
      this.boxes[run].querySelector(".none")?.remove();
      if (!n) this.boxes[run].append(make("span", "none", this.data.stream ? "…" : "nothing yet"));
    }
    this.range.max = Math.max(0, n - 1); this.range.value = Math.max(0, at); this.range.disabled = n < 2;
    this.free.classList.toggle("on", this.held !== null);
    this.where.textContent = step
      ? `Step ${step.index} of ${this.data.first + n - 1}` + (step.kl === null ? "" : ` · KL ${step.kl} nats`) : "";
    this.tables.replaceChildren(...(step ? this.runs.map(run => ranked(step, run)) : []));
    this.says.textContent = this.data.says ? `${this.data.says} ${HINT}` : HINT;
  }

  update(d, api) {
    this.api = api; this.data = d;
    const streams = globalThis.switchboardSteps;
    for (const name of [...(streams?.keys() ?? [])]) if (name !== d.stream) streams.delete(name);
    const drawn = JSON.stringify([d.first, d.steps]);
    if (drawn !== this.drawn) {
      this.drawn = drawn;
      this.steps = []; this.parting = null; this.hovered = null; this.three = false;
      this.sums = Object.fromEntries(RUNS.map(run => [run, 0])); this.counts = { ...this.sums };
      RUNS.forEach(run => this.boxes[run].replaceChildren());
      this.add(d.steps);
    }
    if (d.held !== this.told) {
      this.told = d.held;
      this.held = d.held === null ? null : Math.max(0, d.held - d.first);
    }
    this.take();
    this.show();
  }
}

export default standing(Generation);
