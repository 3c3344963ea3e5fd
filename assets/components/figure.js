// A plotly figure in the page's colours, and its downloads made here: nothing leaves the machine.
// Downloads are drawn anew on white with dark text, at the figure's own size.

const themed = (layout, text, grid) => {
  const axes = Object.fromEntries(Object.keys(layout).filter(k => /^[xy]axis/.test(k)).map(k =>
    [k, { gridcolor: grid, zerolinecolor: grid, linecolor: grid, ...layout[k] }]));
  return {
    ...layout, ...axes, paper_bgcolor: "transparent", plot_bgcolor: "transparent",
    font: { size: 12, ...layout.font, color: text },
  };
};

class Drawn {
  constructor(root) {
    this.host = root.querySelector(".sb-figure");
    offerDownloads(root, this);
    new ResizeObserver(() => { // told of a figure that is taken away, too, which has no width
      if (!this.shown || !this.host.clientWidth) return;
      if (!this.fixed) globalThis.Plotly.Plots.resize(this.host);
      else if (this.width() !== this.host.layout.width) globalThis.Plotly.relayout(this.host, { width: this.width() });
      reachable(this.host, this.data.name);
    }).observe(this.host);
  }

  csv() { return this.data.csv; }

  width() { // its own, or as much less as it can do with where its place is narrower
    const { width, meta } = this.data.figure.layout;
    return Math.max(meta?.least ?? width, Math.min(width, this.host.clientWidth));
  }

  async draw(format) {
    const { figure, name } = this.data, Plotly = await library("Plotly");
    const layout = { ...themed(figure.layout, PALETTE.ink, PALETTE.line), paper_bgcolor: PALETTE.paper };
    const size = { width: figure.layout.width ?? 900, height: figure.layout.height ?? 450 };
    const image = await Plotly.toImage({ data: figure.data, layout: { ...layout, ...size } },
      { format, ...size, scale: format === "png" ? 3 : 1 });
    save(await (await fetch(image)).blob(), `${name}.${format}`);
  }

  async update(data) {
    const says = JSON.stringify(data.figure);
    this.data = data;
    const style = getComputedStyle(this.host);
    const text = style.getPropertyValue("--st-text-color") || style.color;
    const grid = style.getPropertyValue("--st-border-color") || PALETTE.line;
    if (says + text === this.says) return;
    this.says = says + text;
    this.host.style.minHeight = `${data.figure.layout.height ?? 0}px`; // its place, until it is there
    const Plotly = await library("Plotly");
    if (says + text !== this.says || !this.host.isConnected) return; // a newer one is on its way, or the page is left
    const shown = isDark(this.host) ? onDark(data.figure) : data.figure;
    const { width: _, ...layout } = themed(shown.layout, text, grid);
    this.fixed = layout.autosize === false; // scrolled where the page is narrower
    await Plotly.react(this.host, shown.data,
      this.fixed ? { ...layout, width: this.width() } : { ...layout, autosize: true },
      { displayModeBar: false, responsive: false });
    if (this.fixed && !layout.meta?.least && !this.shown) this.host.scrollLeft = this.host.scrollWidth; // where it is decided
    this.shown = true;
    reachable(this.host, this.data.name);
  }
}

export default standing(Drawn);
