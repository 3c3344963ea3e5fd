// Shared: elements whose texts are set as text, never as markup.
const make = (tag, name, text) => {
  const e = document.createElement(tag);
  if (name) e.className = name;
  if (text !== undefined) e.textContent = text;
  return e;
};

// A token's text with the signs for its white space, ␣ ⏎ ⇥, set back.
function marked(text) {
  const span = make("span");
  for (const part of text.split(/([␣⏎⇥])/))
    if (part) span.append("␣⏎⇥".includes(part) ? make("i", "sign", part) : part);
  return span;
}
