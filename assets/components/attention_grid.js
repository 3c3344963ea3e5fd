// Every head's attention pattern as a thumbnail: one canvas under a grid of buttons.
// The data is bytes: the length of a JSON header (4 bytes, little-endian), the header, one signed
// byte a pixel. As in the head grid, clicks act here at once and Python's own sets are adopted only
// when its `rev` changes.
const NAMES = 34, HEADINGS = 14, GAP = 3;

function unpacked(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), n = view.getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + n)));
  return { ...header, shades: new Int8Array(bytes.buffer, bytes.byteOffset + 4 + n, bytes.byteLength - 4 - n) };
}

class Thumbnails {
  constructor(root) {
    for (const name of ["bar", "frame", "all", "grid", "says", "key", "modes"]) this[name] = root.querySelector("." + name);
    this.mode = "look";
    this.buttons = [];
    this.threshold = new Threshold(root.querySelector(".threshold"), this);
    this.grid.addEventListener("click", e => {
      const head = e.target.closest("[data-i]");
      if (head) this.act(+head.dataset.i, (this.mode === "switch") !== (e.altKey || e.shiftKey));
    });
    this.grid.addEventListener("keydown", e => this.key_pressed(e));
    for (const kind of ["pointerover", "focusin"])
      this.grid.addEventListener(kind, e => {
        const head = e.target.closest?.("[data-i]");
        if (head) this.tell(+head.dataset.i);
      });
    this.grid.addEventListener("pointerleave", () => this.tell(null));
    this.modes.addEventListener("click", e => this.choose(e.target.closest("button")?.dataset.mode));
    offerDownloads(root, this);
    new ResizeObserver(() => { if (this.data && this.bar.isConnected && this.fits() !== this.cell) this.build(); }).observe(this.bar);
    this.choose("look");
  }

  choose(mode) {
    if (!mode) return;
    this.mode = mode;
    this.modes.querySelectorAll("button").forEach(b => b.setAttribute("aria-checked", String(b.dataset.mode === mode)));
  }

  act(i, switches) {
    const set = switches ? this.picked : this.chosen;
    if (set.has(i)) set.delete(i);
    else if (switches) set.add(i);
    else this.chosen = new Set([i, ...set]); // the newest is the one that is zoomed
    this.mark(i);
    this.tell(i);
    this.api.setStateValue(switches ? "picked" : "chosen", { rev: this.data.rev, cells: [...(switches ? set : this.chosen)] });
  }

  key_pressed(e) {
    const head = e.target.closest("[data-i]");
    if (!head) return;
    const i = +head.dataset.i, { heads } = this.data;
    if (e.key === "x" || e.key === "Delete") { e.preventDefault(); this.act(i, true); return; }
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: heads, ArrowUp: -heads }[e.key];
    if (by === undefined) return;
    let to = i + by;
    while (this.buttons[to]?.disabled) to += by; // over layers without heads
    if (!this.buttons[to]) return;
    e.preventDefault();
    head.tabIndex = -1;
    this.buttons[to].tabIndex = 0;
    this.buttons[to].focus();
  }

  name(i) { return `L${Math.floor(i / this.data.heads)}H${i % this.data.heads}`; }

  off(i) { return this.picked.has(i) !== (this.data.verb === "keep"); }

  written(value, name = this.data.score) {
    if (value === null || value === undefined) return "–";
    return (this.data.signed && value > 0 ? "+" : "") + value.toFixed(2).replace("-", "−") + (name === "entropy" ? " nats" : "");
  }

  tell(i) {
    if (i === null) { this.says.textContent = this.threshold.says() || this.data.hint; return; }
    const scores = Object.entries(this.data.scores).map(([name, of]) =>
      `${name.replace("_", " ")} ${name === this.data.score && this.threshold.told(i) || this.written(of[i], name)}`);
    this.says.textContent = `${this.name(i)} · ${this.off(i) ? "off" : "on"} · ${this.data.run}: ${scores.join(" · ")}`;
  }

  outline(told) { // the bar's: a head -> its score and rank
    this.told = told;
    this.buttons.forEach((_, i) => this.mark(i));
    this.tell(null);
  }

  isMlp() { return false; }

  actOn(asked) { this.api.setTriggerValue("acted", asked); }

  mark(i) {
    if (this.absent.has(i)) return;
    this.buttons[i].classList.toggle("off", this.off(i));
    this.buttons[i].setAttribute("aria-pressed", String(this.chosen.has(i)));
    this.buttons[i].classList.toggle("outlined", Boolean(this.told?.has(i)));
    if (this.told?.has(i)) this.buttons[i].setAttribute("aria-description", this.told.get(i));
    else this.buttons[i].removeAttribute("aria-description");
    this.buttons[i].setAttribute("aria-label", this.name(i) + (this.off(i) ? ", off" : ""));
  }

  fits() { // the width of a thumbnail that lets the layers fit a screen and the heads the page
    const { layers, heads } = this.data, width = this.bar.clientWidth || 800;
    return Math.max(12, Math.floor(Math.min((width - NAMES) / heads - GAP, Math.max(24, 630 / layers), 92)));
  }

  build() {
    const { layers, heads } = this.data, parts = document.createDocumentFragment();
    this.absent = new Set(this.data.absent);
    this.cell = this.fits();
    this.numbers = this.cell >= 34;
    const cut = (name, text) => { const e = document.createElement("span"); e.className = name; e.textContent = text; parts.append(e); return e; };
    this.grid.style.gridTemplateColumns = `${NAMES}px repeat(${heads}, ${this.cell}px)`;
    this.grid.style.gridTemplateRows = `${HEADINGS}px repeat(${layers}, ${this.cell}px${this.numbers ? " 10px" : ""})`;
    this.grid.style.gap = `${this.numbers ? 1 : GAP}px ${GAP}px`;
    this.grid.style.fontSize = this.cell < 20 ? "8px" : "10px";
    this.buttons = []; this.labels = [];
    cut("name", "");
    for (let h = 0; h < heads; h++) cut("name", h);
    for (let l = 0; l < layers; l++) {
      cut("name", "L" + l);
      for (let h = 0; h < heads; h++) {
        const b = document.createElement("button");
        b.type = "button"; b.className = "head";
        b.tabIndex = this.buttons.some(one => one.tabIndex === 0 && !one.disabled) ? -1 : 0;
        if (this.absent.has(this.buttons.length)) {
          b.disabled = true; b.classList.add("absent"); b.title = `Layer ${l} has no heads`;
        } else b.dataset.i = this.buttons.length;
        this.buttons.push(b);
        parts.append(b);
      }
      if (this.numbers) { cut("number", ""); for (let h = 0; h < heads; h++) this.labels.push(cut("number", "")); }
    }
    this.grid.replaceChildren(parts);
    this.paint();
  }

  head(i, dark) {
    const { size, shades } = this.data, from = i * size * size;
    return heat(shades.subarray(from, from + size * size), size, size, 127, dark);
  }

  paint() {
    const ratio = globalThis.devicePixelRatio || 1, dark = isDark(this.grid);
    this.dark = dark;
    const box = this.grid.getBoundingClientRect();
    this.all.width = Math.round(box.width * ratio); this.all.height = Math.round(box.height * ratio);
    const context = this.all.getContext("2d");
    context.imageSmoothingEnabled = this.data.size > this.cell * ratio;
    this.buttons.forEach((b, i) => {
      if (this.absent.has(i)) return;
      const [x, y] = [b.offsetLeft * ratio, b.offsetTop * ratio];
      context.drawImage(this.head(i, dark), x, y, this.cell * ratio, this.cell * ratio);
      this.mark(i);
      if (this.numbers) this.labels[i].textContent = this.written(this.data.scores[this.data.score][i], "");
    });
    const ramp = Array.from({ length: 96 }, (_, i) => this.data.signed ? i / 47.5 - 1 : i / 95);
    const key = this.key.querySelector("canvas").getContext("2d");
    key.clearRect(0, 0, 96, 8);
    key.drawImage(heat(ramp, 1, 96, 1, dark), 0, 0, 96, 8);
    const most = Number(this.data.most.toPrecision(2));
    this.key.querySelector("i").textContent = this.data.signed ? `−${most}` : "0";
    this.key.querySelector("b").textContent = `${this.data.signed ? "+" : ""}${most} ${this.data.unit}`;
  }

  csv() { return this.data.csv; }

  async draw(format) {
    const { layers, heads, title, name, score } = this.data, cell = Math.max(48, this.cell), step = cell + 16;
    const width = 50 + heads * step, height = 64 + layers * step;
    const parts = [label(12, 22, title, { anchor: "start", size: 13, weight: 600 }),
      label(12, 38, `${scaleSays(this.data.most, this.data.signed)}; numbers: ${score.replace("_", " ")}; crossed: off`, { anchor: "start" })];
    for (let h = 0; h < heads; h++) parts.push(label(44 + h * step + cell / 2, 56, `H${h}`));
    for (let l = 0; l < layers; l++) parts.push(label(36, 62 + l * step + cell / 2, `L${l}`, { anchor: "end" }));
    this.buttons.forEach((_, i) => {
      if (this.absent.has(i)) return;
      const x = 44 + i % heads * step, y = 62 + Math.floor(i / heads) * step;
      parts.push(picture(this.head(i, false), x, y, cell, cell));
      if (this.off(i)) parts.push(`<path d="M${x} ${y}l${cell} ${cell}m0 ${-cell}l${-cell} ${cell}" stroke="${PALETTE.ink}" opacity=".7"/>`);
      parts.push(label(x + cell / 2, y + cell + 10, this.written(this.data.scores[score][i], ""), { size: 9 }));
    });
    await saveDrawing(svgOf(width, height, parts), width, height, name, format);
  }

  update(d, api) {
    const was = this.data;
    this.api = api; this.data = d;
    if (was?.rev !== d.rev) { this.picked = new Set(d.picked); this.chosen = new Set(d.chosen); }
    const other = was?.layers !== d.layers || was?.heads !== d.heads || String(was?.absent) !== String(d.absent);
    if (other || this.fits() !== this.cell) this.build();
    else this.paint();
    this.threshold.update(d.scores[d.score], d.orders, d.marked);
    if (d.first[0] && String(was?.first) !== String(d.first)) this.threshold.outlineFirst(d.first[1]);
  }
}

export default standing(Thumbnails, unpacked);
