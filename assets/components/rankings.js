// Clean and ablated in one table: the numbers before and after, then the best tokens of either run.

const WAYS = { better: "▲", worse: "▼" }; // for the answer, whichever way the number went

function number(n) {
  const box = make("div", "number"), now = make("div", "now " + n.trend, n.now);
  box.title = n.help;
  if (n.trend) {
    const way = make("span", "way", WAYS[n.trend]);
    way.setAttribute("role", "img");
    way.setAttribute("aria-label", way.title = n.trend + " for the answer");
    now.append(way);
  }
  box.append(make("div", "name", n.name), now, make("div", "was", n.was));
  return box;
}

// Which way a token went against the clean run, and how far.
function moved({ move }) {
  if (!move) return ["same", "·"];
  return [move > 0 ? "up" : "down", (move > 0 ? "▲" : "▼") + Math.abs(move).toLocaleString("en")];
}

const way = ([value, text]) => text === "0" || !+text.replace("−", "-") ? "same" : value > 0 ? "up" : "down";

// The columns by which rows can be sorted: their order, and what their name stands above.
const ORDERS = {
  clean: { title: "Clean", spans: 2, least: r => r.clean.rank, about: "Rank and probability with nothing changed" },
  ablated: { title: "Ablated", spans: 3, least: r => r.ablated?.rank ?? 0, about: "Rank, places risen or fallen, and probability with the changes" },
  change: { title: "Change", spans: 1, least: r => -Math.abs(r.change[0]), about: "Ablated − clean probability, in percentage points; sorted by its size" },
  log_change: { title: "Δ log p", spans: 1, least: r => -Math.abs(r.log_change[0]), about: "Ablated − clean log-probability, in nats; sorted by its size" },
};
const COLUMNS = ["token", "rank", "prob", "rank", "move", "prob", "change", "change log"];
const rankOf = half => half.rank.toLocaleString("en");
const inOrder = (rows, by) => [...rows].sort((a, b) => ORDERS[by].least(a) - ORDERS[by].least(b) || a.clean.rank - b.clean.rank);

function share(half) {
  const cell = make("td", "prob"), bar = make("div", "bar");
  bar.style.width = `${100 * half.prob}%`;
  cell.append(bar, make("span", "", half.percent));
  return cell;
}

function row(r) {
  const tr = make("tr", r.mark), token = make("td", "token"), a = r.ablated;
  const both = name => a ? `${r.clean[name]} → ${a[name]}` : r.clean[name];
  tr.title = `${r.piece} · id ${r.id} · logit ${both("logit")} · log-prob ${both("log_prob")}`;
  token.append(marked(r.token));
  tr.append(token, make("td", "rank", rankOf(r.clean)), share(r.clean));
  if (!a) return tr;
  tr.append(make("td", "rank", rankOf(a)), make("td", "move " + moved(r)[0], moved(r)[1]), share(a),
    make("td", "change " + way(r.change), r.change[1]), make("td", "change log " + way(r.log_change), r.log_change[1]));
  return tr;
}

// The same for a paper: a title, the numbers, the table as it is sorted, the key.
const WIDTH = 720, EDGE = 16, LINE = 20, BAR = 96;
const AT = { token: 0, clean: [150, 168], ablated: [318, 372, 390], change: 576, log_change: 688 };
const TINTS = { answer: PALETTE.answer, distractor: PALETTE.distractor };
const pane = (x, y, width, height, fill, opacity) =>
  `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="${width > 6 ? 3 : 0}" fill="${fill}" fill-opacity="${opacity}"/>`;
const left = { anchor: "start", size: 11 }, right = { anchor: "end", size: 11 };

function drawnNumber(n, x, y, width) {
  const cut = (text, style) => wrapped(text, width - 8, style)[0];
  return [
    label(x, y, cut(n.name, { size: 10 }), { ...left, size: 10, fill: PALETTE.quiet }),
    label(x, y + 19, [n.now, WAYS[n.trend]].filter(Boolean).join(" "), { ...left, size: 16, weight: 600 }),
    label(x, y + 33, n.was, { ...left, size: 10, fill: PALETTE.quiet }),
  ];
}

function drawnRow(r, x, y) {
  const token = wrapped(r.token, 104, left)[0], a = r.ablated, coloured = name => ({ ...right, fill: PALETTE[name] ?? PALETTE.same });
  const half = (one, rank, bar) => [
    label(x + rank, y, rankOf(one), { ...right, fill: PALETTE.quiet }),
    pane(x + bar, y - 12, BAR * one.prob, 16, PALETTE.clean, .34), label(x + bar + BAR, y, one.percent, right),
  ];
  return [
    ...(TINTS[r.mark] ? [pane(x - 4, y - 12, widthOf(token, left) + 8, 16, TINTS[r.mark], .26)] : []),
    label(x, y, token, left), ...half(r.clean, ...AT.clean),
    ...(a ? [
      ...half(a, AT.ablated[0], AT.ablated[2]), label(x + AT.ablated[1], y, moved(r)[1], coloured(moved(r)[0])),
      label(x + AT.change, y, r.change[1], coloured(way(r.change))), label(x + AT.log_change, y, r.log_change[1], coloured(way(r.log_change))),
    ] : []),
  ];
}

function drawing(d, rows) {
  const room = WIDTH - 2 * EDGE, parts = [];
  let y = 8;
  for (const [text, style] of [[d.title, { size: 14, weight: 600, most: 4 }], [d.about, { size: 11, most: 6 }]])
    for (const line of wrapped(text, room, style)) parts.push(label(EDGE, y += style.size + 4, line, { ...style, anchor: "start" }));
  y += 28;
  const width = room / d.numbers.length;
  parts.push(...d.numbers.flatMap((n, i) => drawnNumber(n, EDGE + i * width, y, width)));
  y += 64;
  const bold = { ...right, weight: 600 }, head = { clean: AT.clean[1] + BAR, ablated: AT.ablated[2] + BAR, change: AT.change, log_change: AT.log_change };
  parts.push(label(EDGE, y, d.after, { ...left, fill: PALETTE.quiet }), label(WIDTH - EDGE, y - 18, d.sites, { ...right, fill: PALETTE.quiet }));
  parts.push(...Object.entries(head).map(([name, x]) => label(EDGE + x, y, ORDERS[name].title, bold)));
  parts.push(...rows.flatMap((r, i) => drawnRow(r, EDGE, y + (i + 1) * LINE)));
  y += rows.length * LINE + 30;
  let x = EDGE;
  for (const [mark, text] of d.key) {
    const shown = `${mark} ${wrapped(text, 130, left)[0]}`, wide = widthOf(shown, left) + 10;
    parts.push(pane(x, y - 12, wide, 16, TINTS[mark], .26), label(x + 5, y, shown, left));
    x += wide + 8;
  }
  parts.push(label(WIDTH - EDGE, y += LINE, d.says, { ...right, fill: PALETTE.quiet }));
  return [svgOf(WIDTH, y + EDGE, parts), WIDTH, y + EDGE];
}

class Rankings {
  constructor(root) {
    this.root = root;
    this.by = "clean";
    offerDownloads(root, this);
    root.querySelector(".tables").addEventListener("click", e => {
      const by = e.target.closest("button")?.dataset.by;
      if (!by) return;
      this.by = by;
      this.update(this.data);
      root.querySelector(`[data-by=${by}]`).focus();
    });
  }

  get rows() { return inOrder(this.data.rows, this.data.rows[0]?.ablated ? this.by : "clean"); }

  csv() { return this.data.csv; }

  async draw(format) { await saveDrawing(...drawing(this.data, this.rows), this.data.name, format); }

  head() {
    const tr = make("tr"), orders = this.data.rows[0]?.ablated ? Object.keys(ORDERS) : ["clean"];
    tr.append(make("th", "token", "Token"));
    for (const name of orders) {
      const th = make("th", name), b = make("button", "", ORDERS[name].title), on = name === this.by || orders.length === 1;
      th.colSpan = ORDERS[name].spans; th.scope = "col";
      th.setAttribute("aria-sort", !on ? "none" : /change/.test(name) ? "descending" : "ascending");
      b.type = "button"; b.dataset.by = name; b.title = ORDERS[name].about;
      th.append(b);
      tr.append(th);
    }
    return tr;
  }

  update(data) {
    const part = name => this.root.querySelector("." + name), whole = make("table"), title = make("h4");
    this.data = data;
    const head = make("thead"), body = make("tbody"), columns = make("colgroup");
    columns.append(...(data.rows[0]?.ablated ? COLUMNS : COLUMNS.slice(0, 3)).map(name => make("col", name)));
    head.append(this.head());
    body.append(...this.rows.map(row));
    whole.append(columns, head, body);
    whole.setAttribute("aria-label", "Clean and ablated");
    title.append(make("span", "", data.sites), " ", make("span", "", data.after));
    part("numbers").replaceChildren(...data.numbers.map(number));
    part("tables").replaceChildren(title, whole);
    part("key").replaceChildren(...data.key.flatMap(([mark, text]) => [make("b", mark, text), " "]), data.says);
  }
}

export default standing(Rankings);
