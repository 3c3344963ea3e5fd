// Shared: the shades of numbers above and below zero, and how a download shows them.

// Blue is more and red is less, as red, green and blue on a light page and on a dark one.
const [MORE, LESS] = ["more", "less"].map(way => [way, way + "_on_dark"].map(name => channels(PALETTE[name])));

// The colour of a share from −1 to 1, as red, green, blue and alpha.
function shadeOf(share, dark) {
  return [...(share >= 0 ? MORE : LESS)[+dark], Math.round(255 * Math.min(1, Math.abs(share)) ** 0.7)];
}

// A figure, or a scale, in the colours of a dark page.
const onDark = plain => JSON.parse(JSON.stringify(plain).replace(/#[0-9a-f]{6}(?=")/gi, c => ON_DARK[c] ?? c));

// The colour of a value on a scale as plotly has it: colorscale from zmin to zmax; `zero` of what is
// exactly 0, where that stands apart.
function colourOn({ colorscale, zmin, zmax, zero }, value) {
  if (zero && !value) return zero;
  const share = Math.max(0, Math.min(1, (value - zmin) / (zmax - zmin)));
  const next = Math.max(1, colorscale.findIndex(([at]) => share <= at));
  const [[from, less], [to, more]] = colorscale.slice(next - 1, next + 1);
  const way = (share - from) / (to - from), end = channels(more);
  return `rgb(${channels(less).map((c, i) => Math.round(c + way * (end[i] - c)))})`;
}

const light = ([r, g, b]) => {
  const [x, y, z] = [r, g, b].map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * x + .7152 * y + .0722 * z;
};

// The text that is read best on a colour: at worst at 4.58:1.
const readOn = colour => PALETTE[light(colour) > .179 ? "on_pale" : "on_deep"];

// A canvas of one pixel a value, for values scaled by `most`.
function heat(values, rows, columns, most, dark) {
  const canvas = document.createElement("canvas");
  canvas.width = columns; canvas.height = rows;
  const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
  for (let i = 0; i < rows * columns; i++) image.data.set(shadeOf(most ? values[i] / most : 0, dark), 4 * i);
  context.putImageData(image, 0, 0);
  return canvas;
}

const isDark = element => { // what has left the page meanwhile has no colour
  const [r, g, b] = getComputedStyle(element).color.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0];
  return 0.3 * r + 0.6 * g + 0.1 * b > 128; // light text
};

// What the colours of a download stand for.
const scaleSays = (most, signed) => {
  const written = Number(most.toPrecision(3));
  return signed ? `strongest blue +${written}, strongest red −${written}` : `strongest blue ${written}`;
};

const picture = (canvas, x, y, width, height) =>
  `<image x="${x}" y="${y}" width="${width}" height="${height}" preserveAspectRatio="none" ` +
  `style="image-rendering:pixelated" href="${canvas.toDataURL()}"/>` +
  `<rect x="${x}" y="${y}" width="${width}" height="${height}" fill="none" stroke="${PALETTE.frame}" stroke-width=".5"/>`;
