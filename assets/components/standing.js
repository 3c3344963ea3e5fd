// What every component exports: its view, made once for its place (the module is shared by every
// instance) and given each of its data. Streamlit imports the module anew for each, and imports that
// overlap end in any order: data sent before those that are drawn are passed over.
const VIEWS = new WeakMap(); // parentElement -> [view, its last data, as what they came]
const DARK = matchMedia("(prefers-color-scheme: dark)");
const standing = (View, read = data => data) => component => {
  const root = component.parentElement, data = read(component.data);
  if (!VIEWS.has(root)) followTheme(root);
  const [view, drawn] = VIEWS.get(root) ?? [new View(root)];
  if (data.sent < drawn?.sent) return;
  VIEWS.set(root, [view, data, component]);
  view.update(data, component);
};

// The page takes over another theme of the system's a moment later; what is drawn is then drawn anew.
const followTheme = root => {
  const colour = () => getComputedStyle(root.host ?? root).color;
  const follow = (before = colour(), tries = 60) => {
    if (!root.isConnected) return DARK.removeEventListener("change", changed);
    if (colour() === before && tries) return setTimeout(follow, 50, before, tries - 1);
    const [view, data, component] = VIEWS.get(root);
    view.update(data, component);
  };
  const changed = () => follow();
  DARK.addEventListener("change", changed);
};
