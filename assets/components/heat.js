// Shared by the attention components, whose files follow this one: shades, files to save, CSV.
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

function save(blob, name) {
  const a = document.createElement("a"), url = URL.createObjectURL(blob);
  a.href = url; a.download = name;
  document.body.append(a); a.click(); a.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

const escaped = text => String(text).replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`)
  .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd"); // what XML can hold

const label = (x, y, text, { anchor = "middle", size = 10, turn = 0, weight = 400 } = {}) =>
  `<text x="${x}" y="${y}" text-anchor="${anchor}" font-size="${size}" font-weight="${weight}"` +
  (turn ? ` transform="rotate(${turn} ${x} ${y})"` : "") + `>${escaped(text)}</text>`;

// What the colours of a download stand for.
const scaleSays = (most, signed) => {
  const written = Number(most.toPrecision(3));
  return signed ? `strongest blue +${written}, strongest red −${written}` : `strongest blue ${written}`;
};

const picture = (canvas, x, y, width, height) =>
  `<image x="${x}" y="${y}" width="${width}" height="${height}" preserveAspectRatio="none" ` +
  `style="image-rendering:pixelated" href="${canvas.toDataURL()}"/>` +
  `<rect x="${x}" y="${y}" width="${width}" height="${height}" fill="none" stroke="#c9ccd8" stroke-width=".5"/>`;

// White, dark text: the same whatever theme the page has.
const svgOf = (width, height, parts) =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
  `font-family="system-ui, sans-serif" fill="#1f2333"><rect width="${width}" height="${height}" fill="#fff"/>` +
  `${parts.join("")}</svg>`;

async function saveDrawing(svg, width, height, name, format) {
  const drawing = new Blob([svg], { type: "image/svg+xml" });
  if (format === "svg") { save(drawing, `${name}.svg`); return; }
  const image = new Image(), url = URL.createObjectURL(drawing);
  await new Promise((done, failed) => { image.onload = done; image.onerror = failed; image.src = url; });
  const canvas = document.createElement("canvas");
  const scale = Math.min(3, 8000 / Math.max(width, height));
  canvas.width = Math.round(width * scale); canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.imageSmoothingEnabled = false;
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(url);
  canvas.toBlob(blob => save(blob, `${name}.png`), "image/png");
}

const csvField = value => {
  const text = String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
