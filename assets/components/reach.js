// A box is reached by the keyboard where there is more in it to scroll to.
function reachable(box, name) {
  const more = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
  for (const [key, value] of Object.entries({ tabindex: "0", role: "region", "aria-label": name }))
    more ? box.setAttribute(key, value) : box.removeAttribute(key);
}
