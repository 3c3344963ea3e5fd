// Clean and ablated side by side: the numbers before and after, then both rankings.

function number(n) {
  const box = make("div", "number");
  box.title = n.help;
  box.append(make("div", "name", n.name), make("div", "now " + n.trend, n.now), make("div", "was", n.was));
  return box;
}

// Which way a token went against the clean run, and how far.
function moved({ move }) {
  if (!move) return ["same", "·"];
  return [move > 0 ? "up" : "down", (move > 0 ? "▲" : "▼") + Math.abs(move).toLocaleString("en")];
}

function row(r, withMoves) {
  const tr = make("tr", [r.mark, r.gap ? "gap" : ""].join(" ").trim());
  tr.title = `${r.piece} · id ${r.id} · logit ${r.logit} · log-prob ${r.log_prob}`;
  tr.append(make("td", "rank", r.rank));
  const token = make("td", "token");
  token.append(marked(r.token));
  const prob = make("td", "prob"), bar = make("div", "bar");
  bar.style.width = `${100 * r.prob}%`;
  prob.append(bar, make("span", "", r.percent));
  tr.append(token, prob);
  const [way, places] = withMoves ? moved(r) : ["", ""];
  tr.append(make("td", "move " + way, places));
  return tr;
}

function table(t, withMoves) {
  const box = make("div"), title = make("h4", "", t.title + " "), body = make("tbody"), whole = make("table");
  title.append(make("span", "", t.note));
  whole.setAttribute("aria-label", t.title);
  body.append(...t.rows.map(r => row(r, withMoves)));
  whole.append(body);
  box.append(title, whole);
  return box;
}

// The same for a paper: a title, the numbers, both tables side by side, the key.
const WIDTH = 720, EDGE = 16, TABLE = 332, LINE = 20;
const TINTS = { answer: PALETTE.answer, distractor: PALETTE.distractor };
const pane = (x, y, width, height, fill, opacity) =>
  `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="${width > 6 ? 3 : 0}" fill="${fill}" fill-opacity="${opacity}"/>`;
const left = { anchor: "start", size: 11 }, right = { anchor: "end", size: 11 };

function drawnNumber(n, x, y, width) {
  const cut = (text, style) => wrapped(text, width - 8, style)[0];
  return [
    label(x, y, cut(n.name, { size: 10 }), { ...left, size: 10, fill: PALETTE.quiet }),
    label(x, y + 19, n.now, { ...left, size: 16, weight: 600 }),
    label(x, y + 33, n.was, { ...left, size: 10, fill: PALETTE.quiet }),
  ];
}

function drawnRow(r, x, y, withMoves) {
  const token = wrapped(r.token, 104, left)[0], way = withMoves ? moved(r) : ["", ""];
  return [
    ...(TINTS[r.mark] ? [pane(x + 34, y - 12, widthOf(token, left) + 8, 16, TINTS[r.mark], .26)] : []),
    pane(x + 152, y - 12, 132 * r.prob, 16, PALETTE.clean, .34),
    label(x + 26, y, r.rank, { ...right, fill: PALETTE.quiet }), label(x + 38, y, token, left),
    label(x + 284, y, r.percent, right),
    label(x + TABLE, y, way[1], { ...right, fill: PALETTE[way[0]] ?? PALETTE.same }),
  ];
}

function drawnTable(t, x, y, withMoves) {
  return [
    label(x, y, t.title, { ...left, size: 12, weight: 600 }),
    label(x + TABLE, y, wrapped(t.note, TABLE - 70, right)[0], { ...right, fill: PALETTE.quiet }),
    ...t.rows.flatMap((r, i) => drawnRow(r, x, y + (i + 1) * LINE, withMoves)),
  ];
}

function drawing(d) {
  const room = WIDTH - 2 * EDGE, parts = [];
  let y = 8;
  for (const [text, style] of [[d.title, { size: 14, weight: 600, most: 4 }], [d.about, { size: 11, most: 6 }]])
    for (const line of wrapped(text, room, style)) parts.push(label(EDGE, y += style.size + 4, line, { ...style, anchor: "start" }));
  y += 28;
  const share = room / d.numbers.length;
  parts.push(...d.numbers.flatMap((n, i) => drawnNumber(n, EDGE + i * share, y, share)));
  y += 64;
  parts.push(...drawnTable(d.clean, EDGE, y, false), ...drawnTable(d.ablated, WIDTH - EDGE - TABLE, y, true));
  y += Math.max(d.clean.rows.length, d.ablated.rows.length) * LINE + 30;
  let x = EDGE;
  for (const [mark, text] of d.key) {
    const shown = `${mark} ${wrapped(text, 130, left)[0]}`, width = widthOf(shown, left) + 10;
    parts.push(pane(x, y - 12, width, 16, TINTS[mark], .26), label(x + 5, y, shown, left));
    x += width + 8;
  }
  parts.push(label(WIDTH - EDGE, y, d.says, { ...right, fill: PALETTE.quiet }));
  return [svgOf(WIDTH, y + EDGE, parts), WIDTH, y + EDGE];
}

const VIEWS = new WeakMap();

class Rankings {
  constructor(root) {
    this.root = root;
    offerDownloads(root, this);
  }

  csv() { return this.data.csv; }

  async draw(format) { await saveDrawing(...drawing(this.data), this.data.name, format); }

  update(data) {
    const part = name => this.root.querySelector("." + name);
    this.data = data;
    part("numbers").replaceChildren(...data.numbers.map(number));
    part("tables").replaceChildren(table(data.clean, false), table(data.ablated, true));
    part("key").replaceChildren(...data.key.flatMap(([mark, text]) => [make("b", mark, text), " "]), data.says);
  }
}

export default function (component) {
  const root = component.parentElement;
  if (!VIEWS.has(root)) VIEWS.set(root, new Rankings(root));
  VIEWS.get(root).update(component.data);
}
