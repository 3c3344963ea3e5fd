// Rows of tokens to compare: a name, facts, then the tokens, in blocks that stand under each other.
// Rows without facts that are too wide go on in further tables below, as lines of a text do.

function chip(given) {
  if (given === null) return make("span", "gap", "…");
  const [text, piece, id, odd] = given;
  const e = make("span", odd ? "chip odd" : "chip");
  e.append(make("span", "", text), make("small", "", id));
  e.dataset.says = `${piece} · id ${id}`;
  return e;
}

function fact(lines) {
  const td = make("td", "fact");
  for (const [text, number] of lines) {
    const line = make("div");
    line.append(make("b", "", text), make("span", "", number));
    td.append(line);
  }
  return td;
}

function head(d) {
  const thead = make("thead"), tr = make("tr");
  tr.append(make("th", "", ""), ...d.heads.map(text => make("th", "", text)));
  tr.append(...d.blocks.map(b => make("th", "block", b.head)));
  thead.append(tr);
  return thead;
}

function row(d, r, i) {
  const tr = make("tr"), th = make("th", "", r.name);
  th.scope = "row";
  if (r.note) th.append(make("small", "", r.note));
  tr.append(th);
  if (r.error) {
    const td = make("td", "fact words", r.error);
    td.colSpan = Math.max(1, d.heads.length + (d.heads.length ? 0 : d.blocks.length));
    tr.append(td);
    if (!d.heads.length) return tr;
  } else tr.append(...r.facts.map(fact));
  d.blocks.forEach(b => {
    const td = make("td", b.differs ? "differs" : ""), chips = make("div", d.wrap ? "chips wrap" : "chips");
    chips.append(...b.cells[i].map(chip));
    td.append(chips);
    tr.append(td);
  });
  return tr;
}

function table(d, label) {
  const made = make("table"), body = make("tbody");
  made.setAttribute("aria-label", label);
  body.append(...d.rows.map((r, i) => row(d, r, i)));
  made.append(head(d), body);
  return made;
}

// The blocks in lines no wider than there is room for, from one table drawn with all of them.
function lines(all, blocks, room) {
  const [name, ...cells] = all.tHead.rows[0].cells;
  const lines = [[]];
  let left = room - name.offsetWidth;
  blocks.forEach((block, i) => {
    const width = cells[i].offsetWidth + 1;
    if (width > left && lines.at(-1).length) { lines.push([]); left = room - name.offsetWidth; }
    lines.at(-1).push(block);
    left -= width;
  });
  return lines;
}

class Rows {
  constructor(root) {
    this.host = root.querySelector(".rows");
    this.says = root.querySelector(".says");
    this.host.addEventListener("pointerover", e => {
      this.says.textContent = e.target.closest("[data-says]")?.dataset.says ?? this.hint;
    });
    this.host.addEventListener("pointerleave", () => { this.says.textContent = this.hint; });
    new ResizeObserver(() => { if (this.data && this.host.clientWidth !== this.width) this.draw(); })
      .observe(this.host);
  }

  draw() {
    const d = this.data, first = table(d, d.label);
    this.width = this.host.clientWidth;
    this.host.replaceChildren(first);
    if (d.heads.length || first.offsetWidth <= this.width) return;
    this.host.replaceChildren(...lines(first, d.blocks, this.width).map((blocks, i) =>
      table({ ...d, blocks }, i ? `Part ${i + 1}` : d.label)));
    this.width = this.host.clientWidth; // less, where a scroll bar has come
  }

  update(d) {
    this.hint = d.hint;
    this.says.textContent = d.hint;
    this.host.setAttribute("aria-label", d.label);
    this.data = d;
    this.draw();
  }
}

export default standing(Rows);
