// Shared: the shades of numbers above and below zero, and how a download shows them.
const BLUE = [37, 99, 235], RED = [220, 68, 55], PALE_BLUE = [125, 170, 255], PALE_RED = [255, 130, 115];

// The colour of a share from −1 to 1, as red, green, blue and alpha: blue is more, red is less.
function shadeOf(share, dark) {
  const [r, g, b] = share >= 0 ? (dark ? PALE_BLUE : BLUE) : (dark ? PALE_RED : RED);
  return [r, g, b, Math.round(255 * Math.min(1, Math.abs(share)) ** 0.7)];
}

// A canvas of one pixel a value, for values scaled by `most`.
function heat(values, rows, columns, most, dark) {
  const canvas = document.createElement("canvas");
  canvas.width = columns; canvas.height = rows;
  const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
  for (let i = 0; i < rows * columns; i++) image.data.set(shadeOf(most ? values[i] / most : 0, dark), 4 * i);
  context.putImageData(image, 0, 0);
  return canvas;
}

const isDark = element => {
  const [r, g, b] = getComputedStyle(element).color.match(/[\d.]+/g).map(Number);
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
  `<rect x="${x}" y="${y}" width="${width}" height="${height}" fill="none" stroke="#c9ccd8" stroke-width=".5"/>`;
