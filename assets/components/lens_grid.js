// The logit lens as a table: layers down, positions across, the best token in each cell. The names of
// both stay in view, and what is scrolled out at an end is counted there.

// A share's colour on that paper, and which text is read on it best: at worst at 4.58:1.
function painted(share, paper, dark) {
  const [r, g, b, a] = shadeOf(share, dark);
  const colour = [r, g, b].map((v, i) => Math.round(v * a / 255 + paper[i] * (1 - a / 255)));
  return [`rgb(${colour.join()})`, readOn(colour)];
}

class Lens {
  constructor(root) {
    for (const name of ["key", "frame", "box", "tip"]) this[name] = root.querySelector("." + name);
    this.ends = Object.fromEntries(["left", "right", "up", "down"].map(name => [name, root.querySelector(".end." + name)]));
    const cell = e => e.target.closest?.("td");
    this.box.addEventListener("pointerover", e => this.tell(cell(e)));
    this.box.addEventListener("pointerleave", () => this.tell(null));
    this.box.addEventListener("blur", () => this.tell(null));
    this.box.addEventListener("keydown", e => this.pressed(e));
    this.box.addEventListener("scroll", () => this.count(), { passive: true });
    for (const [name, button] of Object.entries(this.ends)) button.addEventListener("click", () => this.scroll(name));
    new ResizeObserver(() => { if (this.data) this.count(); }).observe(this.box);
    offerDownloads(root, this);
  }

  csv() { return this.data.csv; }

  cells() { return [...this.box.querySelectorAll("tbody tr")].map(row => [...row.querySelectorAll("td")]); }

  pressed(e) {
    const by = { ArrowRight: [0, 1], ArrowLeft: [0, -1], ArrowDown: [1, 0], ArrowUp: [-1, 0] }[e.key];
    if (!by) return;
    e.preventDefault();
    const { layers, reading } = this.data, [row, column] = this.at ?? [layers.length - 1, reading.length - 1];
    const to = this.at ? [row + by[0], column + by[1]] : [row, column], cell = this.cells()[to[0]]?.[to[1]];
    if (!cell) return;
    cell.scrollIntoView({ block: "nearest", inline: "nearest" });
    this.tell(cell);
  }

  tell(cell) {
    this.box.querySelector("td.at")?.classList.remove("at");
    this.at = cell ? [cell.parentElement.rowIndex - 1, cell.cellIndex - 1] : null;
    this.tip.hidden = !cell;
    if (!cell) return;
    cell.classList.add("at");
    this.tip.textContent = this.data.told[this.at[0]][this.at[1]].join("\n");
    const host = this.tip.parentNode.host ?? this.tip.parentElement;
    const [own, place] = [cell.getBoundingClientRect(), host.getBoundingClientRect()];
    this.tip.style.left = `${Math.max(0, Math.min(own.left - place.left, place.width - this.tip.offsetWidth))}px`;
    this.tip.style.top = `${own.bottom - place.top + 4}px`;
  }

  scroll(end) {
    const { clientWidth: wide, clientHeight: high } = this.box;
    const by = { left: [-wide, 0], right: [wide, 0], up: [0, -high], down: [0, high] }[end];
    this.box.scrollBy({ left: by[0] * .8, top: by[1] * .8 });
  }

  count() { // what is hidden at each end
    const { scrollLeft, scrollTop, clientWidth, clientHeight } = this.box;
    const head = this.box.querySelector("thead tr"), names = head.cells[0].offsetWidth, high = head.offsetHeight;
    const columns = [...head.cells].slice(1), rows = [...this.box.querySelectorAll("tbody tr")];
    const hidden = {
      left: columns.filter(e => e.offsetLeft + e.offsetWidth / 2 < scrollLeft + names).length,
      right: columns.filter(e => e.offsetLeft + e.offsetWidth / 2 > scrollLeft + clientWidth).length,
      up: rows.filter(e => e.offsetTop + e.offsetHeight / 2 < scrollTop + high).length,
      down: rows.filter(e => e.offsetTop + e.offsetHeight / 2 > scrollTop + clientHeight).length,
    };
    this.frame.style.setProperty("--names", `${names + 4}px`);
    for (const [name, sign] of Object.entries({ left: "◂", right: "▸", up: "▴", down: "▾" })) {
      const n = hidden[name], what = name === "left" || name === "right" ? "position" : "layer";
      this.ends[name].hidden = !n;
      this.ends[name].textContent = `${sign} ${n} ${what}${n === 1 ? "" : "s"}`;
    }
  }

  build() {
    const { layers, reading, before } = this.data, table = make("table"), head = make("thead"), body = make("tbody");
    const names = make("tr"), corner = make("th", "", "layer");
    if (before) corner.append(make("small", "", `${before} before`));
    names.append(corner);
    for (const [position, text] of reading) {
      const name = make("th"); // the token read, and where it stands
      name.scope = "col";
      name.append(marked(text), make("small", "", position));
      names.append(name);
    }
    head.append(names);
    layers.forEach((layer, l) => {
      const row = make("tr"), name = make("th", "", layer);
      name.scope = "row";
      row.append(name, ...this.data.texts[l].map((text, i) => {
        const cell = make("td", this.data.leads[l][i] ? "leads" : "");
        cell.append(marked(text));
        return cell;
      }));
      body.append(row);
    });
    table.append(head, body);
    this.box.replaceChildren(table);
  }

  paint() {
    const dark = isDark(this.box), paper = channels(getComputedStyle(this.box).getPropertyValue("--st-background-color").trim());
    this.cells().forEach((row, l) => row.forEach((cell, i) => {
      [cell.style.background, cell.style.color] = painted(this.data.shares[l][i], paper, dark);
      cell.dataset.sign = this.data.signs[l][i]; // not by colour alone
    }));
    const ramp = Array.from({ length: 96 }, (_, i) => this.data.signed ? i / 47.5 - 1 : i / 95);
    const pen = this.key.querySelector("canvas").getContext("2d");
    pen.clearRect(0, 0, 96, 8);
    pen.drawImage(heat(ramp, 1, 96, 1, dark), 0, 0, 96, 8);
  }

  async draw(format) {
    const { layers, reading, texts, leads, shares, signs, title, ends, colours, name } = this.data, wide = 64, high = 20;
    const paper = channels(PALETTE.paper), [left, top] = [52, 60];
    const parts = [label(12, 20, title, { anchor: "start", size: 12, weight: 600 }),
      label(12, 36, `${colours}, from ${ends[0]} to ${ends[1]} (strongest blue)`, { anchor: "start" })];
    reading.forEach(([, text], i) => parts.push(label(left + (i + .5) * wide, top - 8, text, { size: 11 })));
    layers.forEach((layer, l) => {
      parts.push(label(left - 8, top + l * high + 14, layer, { anchor: "end", size: 11 }));
      reading.forEach((_, i) => {
        const [fill, ink] = painted(shares[l][i], paper, false), [x, y] = [left + i * wide, top + l * high];
        parts.push(`<rect x="${x}" y="${y}" width="${wide - 1}" height="${high - 1}" fill="${fill}"/>`,
          label(x + 3, y + 14, signs[l][i], { anchor: "start", size: 11, fill: ink }),
          label(x + wide / 2, y + 14, texts[l][i], { size: 11, fill: ink, weight: leads[l][i] ? 800 : 400 }));
      });
    });
    const width = Math.max(420, left + reading.length * wide + 12), height = top + layers.length * high + 12;
    await saveDrawing(svgOf(width, height, parts), width, height, name, format);
  }

  update(data) {
    const drawn = JSON.stringify([data.layers, data.reading, data.texts, data.leads, data.before]);
    const sides = JSON.stringify([data.layers.length, data.reading]);
    this.data = data;
    this.tell(null);
    if (drawn !== this.drawn) this.build();
    this.drawn = drawn;
    this.key.querySelector("span").textContent = data.hint;
    this.key.querySelector("i").textContent = data.ends[0];
    this.key.querySelector("b").textContent = `${data.ends[1]} ${data.colours}`;
    this.paint();
    if (sides !== this.sides) this.box.scrollTo(this.box.scrollWidth, this.box.scrollHeight); // where it is decided
    this.sides = sides;
    this.count();
  }
}

export default standing(Lens);
