// A grid of switches: layers down, heads across, one MLP a layer at the right. Or one of patches,
// which have names, below the two prompts' tokens: layers down, and across these or heads.
// Clicks act here at once and are told to Python on pointer-up; Python's own set is adopted only
// when its `rev` changes, so a late echo never undoes a newer click.

const MOST = 34, LEAST = 11; // pixels of a cell

const PLAIN = 0.2; // of the strongest colour: from here on a number's sign is written on its cell
const RANKED = 18; // pixels of a cell that has room for its rank

// Worked out once and not anew for each of five thousand cells; known already to a second grid.
try { CSS.registerProperty({ name: "--switchboard-cell", syntax: "<length>", inherits: true, initialValue: "0px" }); } catch { }

class Grid {
  constructor(root) {
    this.grid = root.querySelector(".grid");
    this.says = root.querySelector(".says");
    this.chips = root.querySelector(".chips");
    this.legend = root.querySelector(".legend");
    this.root = root;
    this.picked = new Set();
    this.anchor = null;
    this.strips = new Strips(root, this);
    this.bar = new Threshold(root.querySelector(".threshold"), this, TOPS[0]);
    this.listen();
  }

  listen() {
    this.grid.addEventListener("pointerdown", e => {
      const cell = e.target.closest("[data-i]");
      if (!cell || e.button) return;
      e.preventDefault();
      const i = +cell.dataset.i;
      this.focus(i);
      if (this.names) return; // of patches it may be dragged: the strips tell what comes of it
      this.paint = this.pick(i, e.shiftKey);
      this.last = i;
      this.dragging = true;
      this.grid.setPointerCapture(e.pointerId);
    });
    this.grid.addEventListener("pointermove", e => {
      const cell = this.dragging ? this.under(e)?.closest("[data-i]") : e.target.closest("[data-i]");
      if (!cell) return;
      const i = +cell.dataset.i;
      if (this.dragging && i !== this.last) {
        this.line(this.last, i).forEach(j => this.set(j, this.paint));
        this.last = i;
      }
      this.tell(i);
    });
    const end = () => { if (this.dragging) { this.dragging = false; this.commit(); } };
    this.grid.addEventListener("pointerup", end);
    this.grid.addEventListener("pointercancel", end);
    this.grid.addEventListener("pointerleave", () => this.tell(null));
    this.grid.addEventListener("click", e => {
      const head = e.target.closest("[data-group]");
      if (head) this.group(head.dataset.group);
    });
    this.grid.addEventListener("keydown", e => this.key(e));
    this.chips.addEventListener("click", e => {
      const site = e.target.closest("button")?.dataset.site;
      if (site) this.api.setTriggerValue("removed", site);
    });
  }

  under(e) { // the element there, whatever has captured the pointer
    const from = this.root.elementFromPoint ? this.root : this.grid.getRootNode();
    return from.elementFromPoint(e.clientX, e.clientY);
  }

  pick(i, block = false) { // turn a cell over, or all from the last one; returns whether it is picked
    const picked = !this.picked.has(i), all = block && this.anchor !== null ? this.rectangle(this.anchor, i) : [i];
    all.forEach(j => this.set(j, picked));
    this.anchor = i;
    return picked;
  }

  press(i, block) { this.pick(i, block); this.commit(); }

  drop(i) { this.set(i, true); this.commit(); }

  key(e) {
    const cell = e.target.closest("[data-i]");
    if (!cell) return;
    const i = +cell.dataset.i, width = this.width;
    if (e.key === " " || e.key === "Enter") {
      e.preventDefault();
      this.press(i);
      return;
    }
    const column = i % width;
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: width, ArrowUp: -width, Home: 1, End: -1 }[e.key];
    if (by === undefined) return;
    e.preventDefault();
    const row = i - column, inRow = Math.abs(by) === 1;
    let to = e.key === "Home" ? row : e.key === "End" ? row + width - 1 : i + by;
    while (this.absent.has(to)) to += by; // over what the model does not have
    if (!this.cells[to] || (inRow && Math.floor(to / width) !== row / width)) return;
    if (e.shiftKey) { this.set(to, this.picked.has(i)); this.commit(); }
    this.focus(to, true);
    this.tell(to);
  }

  focus(i, seen = false) {
    this.cells.forEach(c => { if (c.dataset.i) c.tabIndex = -1; });
    this.cells[i].tabIndex = 0;
    this.cells[i].focus({ preventScroll: true });
    if (seen) this.cells[i].scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  rectangle(a, b) {
    const width = this.width, rows = [a, b].map(i => Math.floor(i / width)), cols = [a, b].map(i => i % width);
    const out = [];
    for (let r = Math.min(...rows); r <= Math.max(...rows); r++)
      for (let c = Math.min(...cols); c <= Math.max(...cols); c++) out.push(r * width + c);
    return out;
  }

  line(a, b) { // the cells a fast drag jumped over
    const width = this.width, [r0, c0, r1, c1] = [Math.floor(a / width), a % width, Math.floor(b / width), b % width];
    const n = Math.max(Math.abs(r1 - r0), Math.abs(c1 - c0), 1), out = [];
    for (let k = 0; k <= n; k++) out.push(Math.round(r0 + (r1 - r0) * k / n) * width + Math.round(c0 + (c1 - c0) * k / n));
    return out;
  }

  name(i) {
    if (this.names) return this.names[i];
    const width = this.width, layer = Math.floor(i / width), head = i % width;
    return head === this.heads ? `MLP${layer}` : `L${layer}H${head}`;
  }

  carry(position) { this.api.setTriggerValue("carried", position); }

  off(i) { return this.keep ? !this.picked.has(i) && (!this.isMlp(i) || this.keepMlps) : this.picked.has(i); }

  written(value) { return (value < 0 ? "−" : this.signed ? "+" : "") + Math.abs(value).toFixed(3); }

  say(text) { this.says.textContent = text; }

  tell(i) {
    if (this.strips.carrying) return;
    if (i === null) return this.say(this.bar.says() || this.hint);
    const state = this.names ? (this.picked.has(i) ? "patched" : "as it is") : this.off(i) ? (this.keep ? "not kept, off" : "off") : (this.keep && this.picked.has(i) ? "kept" : "on");
    const told = this.bar.told(i);
    const guess = this.guesses.has(i) ? ", an estimate" : "";
    const way = this.names && !this.picked.has(i) ? ` · click, or drag onto ${this.strips.into}` : "";
    this.say(`${this.name(i)} · ${state}` + (told ? ` · ${this.valueName} ${told}${guess}` : "") + way);
  }

  outline(told, ranks) { // the bar's: a cell -> its number and rank
    this.grid.classList.toggle("ranked", this.cells[0].offsetWidth >= RANKED);
    this.cells.forEach((cell, i) => {
      cell.classList.toggle("outlined", told.has(i));
      if (told.has(i)) { cell.setAttribute("aria-description", told.get(i)); cell.dataset.rank = ranks.get(i) ?? ""; }
      else cell.removeAttribute("aria-description");
    });
    if (!this.dragging) this.tell(null);
  }

  isMlp(i) { return !this.names && i % this.width === this.heads; }

  actOn(asked) { this.api.setTriggerValue("acted", asked); }

  set(i, picked) {
    if (this.absent.has(i)) return; // a drag may pass over it
    picked ? this.picked.add(i) : this.picked.delete(i);
    this.show(i);
  }

  show(i) {
    if (this.absent.has(i)) return;
    const cell = this.cells[i], patched = this.names && this.picked.has(i), off = !this.names && this.off(i);
    cell.classList.toggle("patched", patched ?? false);
    cell.classList.toggle("off", off);
    cell.setAttribute("aria-checked", String(this.names ? patched : !off));
  }

  group(which) {
    const width = this.width, n = +which.slice(1);
    const all = this.cells.map((_, i) => i).filter(i => !this.absent.has(i) &&
      (which === "all" || (which[0] === "r" ? Math.floor(i / width) === n : i % width === n)));
    const pick = all.some(i => !this.picked.has(i));
    all.forEach(i => this.set(i, pick));
    this.commit();
  }

  commit() { this.api.setStateValue("picked", { rev: this.rev, cells: [...this.picked].sort((a, b) => a - b) }); }

  build({ layers, heads, absent, names, tokens, across, into }) {
    const patches = !!names;
    this.width = patches ? heads : heads + 1;
    this.layers = layers; this.heads = heads; this.absent = new Set(absent); this.cells = [];
    const parts = document.createDocumentFragment();
    this.grid.classList.toggle("patches", patches);
    this.grid.setAttribute("aria-label", across ? "Patches by layer and position" :
      patches ? "Patches by layer and head" : "Attention heads and MLPs by layer");
    for (const [name, value] of Object.entries({ layers, heads, most: MOST + "px", least: LEAST + "px" }))
      this.grid.style.setProperty("--" + name, value);
    const head = (text, group, label) => {
      const b = document.createElement("button");
      b.className = "head " + { a: "corner", c: "column", r: "row" }[group[0]]; b.type = "button"; b.textContent = text; b.dataset.group = group;
      b.title = label; b.setAttribute("aria-label", label);
      parts.append(b);
    };
    const longest = Math.max(1, ...(tokens ?? []).flatMap(t => [t.clean.length, t.corrupted.length]));
    this.grid.style.setProperty("--strip", `${Math.min(96, 10 + 7.5 * longest)}px`);
    const switched = patches ? "Patch" : "Switch", strips = patches ? this.strips.build(tokens, into) : [];
    this.strips.apart.hidden = !patches || across;
    this.strips.apart.style.setProperty("--tokens", tokens?.length ?? 0);
    this.strips.apart.replaceChildren(...(across ? [] : strips));
    if (across) parts.append(...strips);
    else {
      head("all", "all", `${switched} everything`);
      for (let h = 0; h < heads; h++) head(h, "c" + h, `${switched} head ${h} of every layer`);
    }
    if (!patches) head("M", "c" + heads, "Switch every MLP");
    for (let l = 0; l < layers; l++) {
      head("L" + l, "r" + l, `${switched} layer ${l}`);
      for (let h = 0; h < this.width; h++) {
        const cell = document.createElement("div");
        cell.className = h === heads ? "cell mlp" : "cell"; // of patches there is none
        const i = this.cells.length;
        if (this.absent.has(i)) {
          cell.classList.add("absent");
          cell.title = h === heads ? `Layer ${l} has no MLP that can be switched` : `Layer ${l} has no heads`;
        } else {
          cell.dataset.i = i;
          cell.tabIndex = this.cells.some(c => c.tabIndex === 0) ? -1 : 0;
          cell.setAttribute("role", "checkbox");
          cell.setAttribute("aria-label", this.name(i));
        }
        this.cells.push(cell);
        parts.append(cell);
      }
    }
    this.grid.replaceChildren(parts);
  }

  chip([site, label]) {
    const chip = document.createElement("span");
    chip.className = "chip";
    chip.append(label);
    const b = document.createElement("button");
    b.type = "button"; b.textContent = "×"; b.dataset.site = site;
    b.title = `Remove ${label}`; b.setAttribute("aria-label", `Remove ${label}`);
    chip.append(b);
    return chip;
  }

  update(d, api) {
    this.api = api;
    this.hint = d.hint;
    this.valueName = d.value_name;
    const shape = JSON.stringify([d.layers, d.heads, d.absent, d.tokens, d.across, d.into]), rebuilt = this.shape !== shape;
    this.shape = shape;
    this.names = d.names;
    this.strips.lands = d.lands;
    if (rebuilt) this.build(d);
    else if (String(d.names) !== this.named) this.cells.forEach((cell, i) => { if (cell.dataset.i) cell.setAttribute("aria-label", this.name(i)); });
    this.named = String(d.names);
    const verb = d.verb + d.mlps;
    const fresh = rebuilt || this.rev !== d.rev || this.verb !== verb;
    this.keep = d.verb === "keep"; this.keepMlps = d.mlps; this.verb = verb;
    if (rebuilt || this.rev !== d.rev) this.picked = new Set(d.picked);
    this.rev = d.rev;
    if (fresh) this.cells.forEach((_, i) => this.show(i));
    this.signed = d.orders[0] === "size";
    const known = (d.values ?? []).filter(v => v !== null);
    this.grid.classList.toggle("tinted", known.length > 0);
    const colours = d.values && isDark(this.grid) ? onDark(d.colours) : d.colours;
    this.cells.forEach((cell, i) => {
      const value = d.values?.[i] ?? null, colour = value === null ? "" : colourOn(colours, value);
      const cross = colour.startsWith("rgb(") ? readOn(colour.match(/\d+/g).map(Number)) : "";
      for (const [name, is] of [["--tint", colour], ["--cross", cross]])
        is ? cell.style.setProperty(name, is) : cell.style.removeProperty(name);
      const plain = this.signed && value !== null && Math.abs(value) >= PLAIN * colours.zmax;
      const sign = !plain ? "" : value < 0 ? "−" : "+";
      if (cell.dataset.sign !== sign) cell.dataset.sign = sign;
    });
    this.chips.replaceChildren(...d.chips.map(c => this.chip(c)));
    this.guesses = new Set(d.guesses.filter(i => d.values[i] !== null));
    this.cells.forEach((cell, i) => cell.classList.toggle("guess", this.guesses.has(i)));
    this.legend.hidden = !this.guesses.size;
    this.legend.lastElementChild.textContent = `${known.length - this.guesses.size} of ${known.length} exact; hatched: an estimate`;
    this.bar.update(d.values, d.orders, d.marked, d.acts);
  }
}

export default standing(Grid);
