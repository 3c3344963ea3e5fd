// Clean and ablated side by side: the numbers before and after, then both rankings.
// Everything is set as text, never as markup.
const make = (tag, cls, text) => {
  const el = document.createElement(tag);
  if (cls) el.className = cls;
  if (text !== undefined) el.textContent = text;
  return el;
};

function visible(text) {
  const span = make("span");
  for (const part of text.split(/([␣⏎⇥])/))
    if (part) span.append("␣⏎⇥".includes(part) ? make("i", "", part) : part);
  return span;
}

function number(n) {
  const box = make("div", "number");
  box.title = n.help;
  box.append(make("div", "name", n.name), make("div", "now " + n.trend, n.now), make("div", "was", n.was));
  return box;
}

function row(r, withMoves) {
  const tr = make("tr", [r.mark, r.gap ? "gap" : ""].join(" ").trim());
  tr.title = `${r.piece} · id ${r.id} · logit ${r.logit} · log-prob ${r.log_prob}`;
  tr.append(make("td", "rank", r.rank));
  const token = make("td", "token");
  token.append(visible(r.token));
  const prob = make("td", "prob"), bar = make("div", "bar");
  bar.style.width = `${100 * r.prob}%`;
  prob.append(bar, make("span", "", r.percent));
  tr.append(token, prob);
  const way = !withMoves ? "" : r.move > 0 ? "up" : r.move < 0 ? "down" : "same";
  const arrow = { "": "", up: "▲", down: "▼", same: "·" }[way];
  tr.append(make("td", "move " + way, arrow + (withMoves && r.move ? Math.abs(r.move).toLocaleString("en") : "")));
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

export default function ({ parentElement: root, data }) {
  root.querySelector(".numbers").replaceChildren(...data.numbers.map(number));
  root.querySelector(".tables").replaceChildren(table(data.clean, false), table(data.ablated, true));
  const key = root.querySelector(".key");
  key.replaceChildren();
  for (const [mark, text] of data.key) key.append(make("b", mark, text), " ");
  key.append(data.says);
}
