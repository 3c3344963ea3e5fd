// The prompt as the tokens the model sees. Hover tells id and raw piece; a click chooses the
// positions at which the ablation acts.

class Strip {
  constructor(root) {
    this.strip = root.querySelector(".strip");
    this.says = root.querySelector(".says");
    this.strip.addEventListener("click", e => {
      const token = e.target.closest("[data-i]");
      if (token) this.api.setTriggerValue("clicked", +token.dataset.i);
    });
    const tell = e => {
      const token = e.target.closest?.("[data-i]");
      this.says.textContent = token ? this.about(+token.dataset.i) : this.hint;
    };
    this.strip.addEventListener("pointerover", tell);
    this.strip.addEventListener("focusin", tell);
    this.strip.addEventListener("pointerleave", () => { this.says.textContent = this.hint; });
  }

  about(i) {
    const [, , piece, id] = this.tokens.find(t => t[0] === i);
    return `position ${i} · id ${id} · ${piece}`;
  }

  token([i, text, piece, id, special]) {
    const b = make("button", "token");
    b.type = "button"; b.dataset.i = i;
    b.classList.toggle("special", special);
    b.setAttribute("aria-label", `Token ${i}: ${piece}, id ${id}`);
    b.title = `id ${id}`;
    b.append(marked(text), make("small", "", i));
    return b;
  }

  draw(tokens) {
    const parts = [];
    tokens.forEach((t, k) => {
      const left_out = t[0] - (k ? tokens[k - 1][0] + 1 : 0);
      if (left_out) {
        parts.push(make("span", "gap", `… ${left_out.toLocaleString("en")} more …`));
      }
      parts.push(this.token(t));
    });
    this.strip.replaceChildren(...parts);
  }

  update(d, api) {
    const drawn = JSON.stringify(d.tokens);
    this.api = api; this.hint = d.hint; this.tokens = d.tokens;
    if (this.drawn !== drawn) {
      this.drawn = drawn;
      this.draw(d.tokens);
    }
    const on = new Set(d.positions);
    this.strip.querySelectorAll("[data-i]").forEach(b => {
      const acts = on.has(+b.dataset.i);
      b.classList.toggle("on", acts);
      b.setAttribute("aria-pressed", String(acts));
    });
    this.says.textContent = this.hint;
  }
}

export default standing(Strip);
