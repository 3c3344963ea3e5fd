// Shared: the two prompts' tokens, one above the other, and what is dragged onto the prompt that is
// patched, `into`: a cell, or the other prompt's token of the same position. A press that stays where
// it is remains a click. Its grid names cells (`name`) and what lies under a pointer (`under`), shows
// a text (`say`), and does what a cell pressed, a cell dropped or a token's position asks (`press`,
// `drop`, `carry`).

const STILL = 6; // pixels that a click may move

class Strips {
  constructor(root, grid) {
    this.root = root;
    this.grid = grid;
    this.apart = root.querySelector(".strips"); // where they are not the grid's own columns
    this.ghost = root.querySelector(".ghost");
    this.held = null;
    this.lands = []; // the position that each cell is patched at, null for no single one
    this.escape = e => { if (e.key === "Escape") { e.stopPropagation(); this.end(); } };
    root.addEventListener("pointerdown", e => this.hold(e));
    root.addEventListener("pointermove", e => {
      if (this.held && !e.buttons) this.end(); // let go outside
      if (this.held?.pointer === e.pointerId) this.move(e);
    });
    root.addEventListener("pointerup", e => { if (this.held?.pointer === e.pointerId) this.letGo(e); });
    root.addEventListener("pointercancel", () => this.end());
    root.addEventListener("click", e => {
      const token = e.target.closest("[data-position]");
      if (token) this.grid.carry(+token.dataset.position);
    });
  }

  // tokens: a position each, its token in either prompt, and whether they differ. Returns: the strips' elements.
  build(tokens, into) {
    this.end();
    this.into = into;
    const from = into === "clean" ? "corrupted" : "clean";
    return ["clean", "corrupted"].flatMap(strip => {
      const own = `head strip ${strip}${strip === into ? " into" : ""}`, name = document.createElement("span");
      name.className = `${own} named`;
      name.textContent = strip;
      return [name, ...tokens.map(token => {
        const b = document.createElement("button"), { differs } = token;
        b.type = "button"; b.className = `${own} column${differs ? " differs" : ""}`;
        b.textContent = token[strip]; b.dataset.position = token.position; b.dataset.strip = strip;
        b.title = `${strip}, position ${token.position}: ${token[strip]}${differs ? "; the prompts differ here" : ""}. ` +
          `Click${strip === from ? `, or drag onto the ${into} prompt` : ""}: patch what enters layer 0 here`;
        return b;
      })];
    });
  }

  get carrying() { return this.held?.lifted ?? false; }

  hold(e) {
    const token = e.target.closest("[data-position]"), cell = this.into && e.target.closest("[data-i]");
    if (e.button || !e.isPrimary || !(token || cell)) return;
    this.held = { from: token ?? cell, pointer: e.pointerId, x: e.clientX, y: e.clientY, lifted: false, told: "" };
    if (token) Object.assign(this.held, token.dataset, { name: `r0 @${token.dataset.position}` });
    else {
      Object.assign(this.held, { cell: +cell.dataset.i, name: this.grid.name(+cell.dataset.i) });
      cell.parentElement.setPointerCapture(e.pointerId);
    }
  }

  move(e) {
    const held = this.held, under = this.grid.under(e);
    if (!held.lifted) {
      if (held.from.contains(under) || Math.hypot(e.clientX - held.x, e.clientY - held.y) < STILL) return;
      this.lift(e);
    }
    held.over = under?.closest(".strip");
    const x = Math.min(e.clientX + 12, innerWidth - this.ghost.offsetWidth - 4);
    this.ghost.style.translate = `${x}px ${e.clientY + (e.pointerType === "touch" ? -56 : 14)}px`; // clear of a finger
    const takes = this.takes(), told = takes ? `Let go: ${held.name} is patched into the ${this.into} prompt` :
      held.strip === this.into ? `The ${this.into} prompt is the one that is patched: drag the other's token onto it` :
      `Drop ${held.name} on the ${this.into} prompt${held.strip ? " at the same position" : ""}; Escape lets go of it`;
    if (held.told === told) return;
    held.told = told;
    this.mark("over", takes);
    this.grid.say(told);
  }

  takes() { // a cell is patched at its own position, wherever on the prompt it is dropped
    const { over, strip, position } = this.held;
    if (!over?.classList.contains("into")) return false;
    return !strip || (strip !== this.into && over.dataset.position === position);
  }

  lift(e) {
    const { held, ghost } = this;
    held.lifted = true;
    held.from.parentElement.setPointerCapture(e.pointerId); // the click is its own then, no token's
    ghost.textContent = held.strip ? held.from.textContent : held.name;
    ghost.hidden = false;
    held.from.parentElement.classList.add("carrying");
    this.mark("open", held.strip !== this.into);
    const lands = held.position ?? this.lands[held.cell] ?? null;
    const own = lands === null ? null : this.root.querySelector(`.into[data-position="${lands}"]`);
    own?.classList.add("lands");
    const place = this.apart.hidden ? this.root.querySelector(".box") : this.apart;
    for (const e of [place, own]) e?.scrollIntoView({ block: "nearest", inline: "nearest" });
    addEventListener("keydown", this.escape, true);
  }

  mark(how, is) { this.root.querySelectorAll(".strip.into").forEach(e => e.classList.toggle(how, is)); }

  letGo(e) {
    this.move(e);
    const { lifted, cell, position } = this.held, takes = lifted && this.takes();
    this.end();
    if (!lifted && cell !== undefined) this.grid.press(cell, e.shiftKey);
    if (takes) cell === undefined ? this.grid.carry(+position) : this.grid.drop(cell);
  }

  end() {
    const { carrying, held } = this;
    this.held = null;
    if (!carrying) return;
    held.from.parentElement?.classList.remove("carrying");
    this.ghost.hidden = true;
    for (const how of ["open", "over", "lands"]) this.mark(how, false);
    removeEventListener("keydown", this.escape, true);
    this.grid.tell(null);
  }
}
