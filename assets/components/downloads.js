// Shared: the buttons of downloads.html, and the files they give. Drawings are made in the browser.

// `view` has the file's name in `data.name`; `csv()` gives the numbers as text, and `draw(format)`
// saves the view as "png" or "svg".
function offerDownloads(root, view) {
  root.querySelector(".sb-downloads").addEventListener("click", e => {
    const format = e.target.closest("button")?.dataset.format;
    if (format === "csv") save(new Blob([view.csv()], { type: "text/csv" }), `${view.data.name}.csv`);
    else if (format) view.draw(format);
  });
}

function save(blob, name) {
  const a = document.createElement("a"), url = URL.createObjectURL(blob);
  a.href = url; a.download = name;
  document.body.append(a); a.click(); a.remove();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

const csvField = value => {
  const text = String(value);
  return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};
