// What every component exports: its view, made once for its place (the module is shared by every
// instance) and given each of its data. Streamlit imports the module anew for each, and imports that
// overlap end in any order: data sent before those that are drawn are passed over.
const VIEWS = new WeakMap(); // parentElement -> [view, the number of the data drawn]
const standing = (View, read = data => data) => component => {
  const root = component.parentElement, data = read(component.data);
  const [view, drawn] = VIEWS.get(root) ?? [new View(root), 0];
  if (data.sent < drawn) return;
  VIEWS.set(root, [view, data.sent]);
  view.update(data, component);
};
