// Shared: a drawing for a paper, as SVG with real text.
const escaped = text => String(text).replace(/[&<>"]/g, c => `&#${c.charCodeAt(0)};`)
  .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, "\ufffd"); // what XML can hold

const FONT = "system-ui, sans-serif";

const label = (x, y, text, { anchor = "middle", size = 10, turn = 0, weight = 400, fill = "" } = {}) =>
  `<text x="${x}" y="${y}" text-anchor="${anchor}" font-size="${size}" font-weight="${weight}"` +
  (fill ? ` fill="${fill}"` : "") +
  (turn ? ` transform="rotate(${turn} ${x} ${y})"` : "") + `>${escaped(text)}</text>`;

function widthOf(text, { size = 10, weight = 400 } = {}) {
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = `${weight} ${size}px ${FONT}`;
  return pen.measureText(text).width;
}

// A text as lines no wider than `width` pixels; what does not fit into `most` of them ends in “…”.
function wrapped(text, width, { most = 1, ...style } = {}) {
  const lines = [""], fits = line => widthOf(line, style) <= width;
  for (const letter of text) {
    const line = lines.at(-1), end = line.lastIndexOf(" ") + 1 || line.length;
    if (fits(line + letter)) lines[lines.length - 1] += letter;
    else if (lines.length < most) lines.splice(-1, 1, line.slice(0, end), line.slice(end) + letter);
    else {
      while (lines.at(-1) && !fits(lines.at(-1) + "…")) lines[lines.length - 1] = lines.at(-1).slice(0, -1);
      lines[lines.length - 1] += "…";
      break;
    }
  }
  return lines;
}

// White, dark text: the same whatever theme the page has.
const svgOf = (width, height, parts) =>
  `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" ` +
  `font-family="${FONT}" fill="${PALETTE.ink}"><rect width="${width}" height="${height}" fill="${PALETTE.paper}"/>` +
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
