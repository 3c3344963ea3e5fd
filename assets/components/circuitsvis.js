// Chosen heads drawn by CircuitsVis. Tokens reach it as data. The downloads are drawn here, as its
// own canvas has no SVG.
let drawn = 0;

class View {
  constructor(root) {
    this.host = root.querySelector(".sb-circuitsvis");
    new MutationObserver(() => this.drew()).observe(this.host, { childList: true, subtree: true });
    new ResizeObserver(() => this.data && reachable(this.host, this.data.title)).observe(this.host);
    offerDownloads(root, this);
  }

  // What it draws on says that it is a picture, but not of what.
  drew() {
    const drawn = this.host.querySelectorAll("canvas:not([aria-label])");
    drawn.forEach(e => e.setAttribute("aria-label", this.data.title));
    if (drawn.length) requestAnimationFrame(() => { this.host.removeAttribute("aria-busy"); this.host.style.minHeight = ""; reachable(this.host, this.data.title); });
  }

  csv() {
    const { tokens, heads, values, column } = this.data;
    const lines = [["layer", "head", "query_pos", "query_token", "key_pos", "key_token", column]];
    heads.forEach(([layer, head], i) => values[i].forEach((row, q) => row.slice(0, q + 1).forEach((value, k) =>
      lines.push([layer, head, q, tokens[q], k, tokens[k], value]))));
    return lines.map(line => line.map(csvField).join(",")).join("\n") + "\n";
  }

  async draw(format) {
    const { tokens, heads, values, most, title, name } = this.data, n = tokens.length;
    const cell = Math.max(4, Math.min(18, 540 / n)), side = n * cell, margin = 90, step = side + margin + 20;
    const columns = Math.min(heads.length, Math.max(1, Math.floor(1400 / step))), rows = Math.ceil(heads.length / columns);
    const parts = [label(12, 22, `${title}; ${scaleSays(most, this.data.signed)}`, { anchor: "start", size: 12, weight: 600 })];
    heads.forEach(([layer, head], i) => {
      const x = margin + i % columns * step, y = 52 + Math.floor(i / columns) * (step + 16);
      const size = Math.min(10, cell * .9);
      parts.push(label(x + side / 2, y - 6, `L${layer}H${head}`, { size: 12, weight: 600 }));
      parts.push(picture(heat(values[i].flat(), n, n, most, false), x, y, side, side));
      tokens.forEach((token, t) => {
        const at = (t + .5) * cell + size / 3;
        parts.push(label(x - 4, y + at, token.slice(0, 14), { anchor: "end", size }));
        parts.push(label(x + at, y + side + 5, token.slice(0, 14), { anchor: "end", size, turn: -90 }));
      });
    });
    const width = Math.max(620, columns * step + 20), height = 52 + rows * (step + 16);
    await saveDrawing(svgOf(width, height, parts), width, height, name, format);
  }

  async update(data) {
    const says = JSON.stringify([data.heads, data.values, data.tokens, data.most]);
    this.data = data;
    this.host.classList.toggle("dark", isDark(this.host.parentElement));
    if (says === this.says) return;
    this.says = says;
    this.host.setAttribute("aria-busy", "true");
    this.host.style.minHeight = `${this.host.offsetHeight}px`; // its place, until it is drawn anew
    const CircuitsVis = await library("CircuitsVis");
    if (says !== this.says || !this.host.isConnected) return; // newer ones are on their way, or the page is left
    const place = document.createElement("div");
    place.id = `sb-circuitsvis-${drawn++}`;
    this.host.replaceChildren(place);
    CircuitsVis.render(place.id, CircuitsVis.AttentionHeads, {
      tokens: data.tokens, attention: data.values, maxValue: data.most, minValue: -data.most,
      positiveColor: PALETTE.more, negativeColor: PALETTE.less,
      attentionHeadNames: data.heads.map(([layer, head]) => `L${layer}H${head}`),
    });
  }
}

export default standing(View);
