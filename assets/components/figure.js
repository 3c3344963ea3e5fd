// A plotly figure in the page's colours, and its downloads made here: nothing leaves the machine.
// Downloads are drawn anew on white with dark text, at the figure's own size.
const FIGURES = new WeakMap();

const whenPlotly = () => new Promise(done => {
  if (globalThis.Plotly) done(globalThis.Plotly);
  else globalThis.addEventListener("switchboard:plotly", () => done(globalThis.Plotly), { once: true });
});

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
      if (this.shown && !this.fixed && this.host.clientWidth) globalThis.Plotly.Plots.resize(this.host);
    }).observe(this.host);
  }

  csv() { return this.data.csv; }

  async draw(format) {
    const { figure, name } = this.data, Plotly = await whenPlotly();
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
    const Plotly = await whenPlotly();
    if (says + text !== this.says) return; // a newer one is on its way
    const { width, ...layout } = themed(data.figure.layout, text, grid);
    this.fixed = layout.autosize === false; // its own width, scrolled where the page is narrower
    await Plotly.react(this.host, data.figure.data, this.fixed ? { ...layout, width } : { ...layout, autosize: true },
      { displayModeBar: false, responsive: false });
    if (this.fixed && !this.shown) this.host.scrollLeft = this.host.scrollWidth; // where it is decided
    this.shown = true;
  }
}

export default function (component) {
  const root = component.parentElement;
  if (!FIGURES.has(root)) FIGURES.set(root, new Drawn(root));
  FIGURES.get(root).update(component.data);
}
