// The explorer: one panel over the stored prediction; with a server behind it, also work, preferences and news.

class Explorer {
  shown = "value"; // on the map: the preference's value, or a task
  pair = [0, 1]; // tasks at the corners of a map of many
  /** @type {Expected | null} what the server says of the weights that are chosen */
  exact = null;
  /** @type {Triangle | Curve | null} */
  map = null;
  wish = new URLSearchParams();
  others = ""; // proportions that the map of many was drawn for
  drawing = 0;
  asking = 0;
  again = 0;
  speaking = 0;
  holder = made("div", { class: "holder" });
  value = made("p", { class: "value" });
  told = made("p", { class: "sr", "aria-live": "polite" });

  /** @param {HTMLElement} section @param {State} state @param {string | null} token null without a server */
  constructor(section, state, token) {
    this.section = section;
    this.state = state;
    this.names = state.tasks.map((task) => task.name);
    this.work = new Work(token ?? "", this.names, (shares) => this.choose(shares));
    this.live = token !== null;
    this.fields = this.names.map((name, place) => this.field(name, place));
    /** @type {((shares: number[]) => Expected) | null} */
    this.expected = null;
    /** @type {number[] | null} */
    this.recommended = null;
    this.take(state);
    this.form = this.wishes();
    this.shares = this.linked() ?? this.recommended ?? this.names.map(() => 1 / this.names.length);
    this.build();
    this.redraw();
    this.choose(this.shares, false);
    this.heed();
  }

  heed() {
    window.addEventListener("hashchange", () => {
      const found = this.linked();
      if (found && Simplex.key(found, this.names) !== Simplex.key(this.shares, this.names)) this.choose(found, false);
    });
    if (!this.live) return;
    this.work.show();
    this.work.listen((revision) => revision !== this.state.revision && this.refresh());
  }

  linked() {
    return Simplex.parsed(new URLSearchParams(location.hash.slice(1)).get("weights") ?? "", this.names);
  }

  /** A new state of the study. @param {State} state */
  take(state) {
    this.state = state;
    this.expected = state.prediction ? Simplex.predictor(state.prediction) : null;
    const found = state.recommendation?.weights;
    this.recommended = found ? this.names.map((name) => found[name]) : null;
  }

  // ---- building ---------------------------------------------------------------------------------------------------

  build() {
    const held = document.activeElement;
    if (!this.form.contains(held)) this.form = this.wishes();
    const map = made("div", { class: "mapping" }, this.choices(), this.holder, legend());
    const form = this.state.rows.length ? [this.form] : [];
    const live = this.live ? [this.work.full, this.work.note, ...form, this.work.list] : [this.work.note];
    const panel = made("div", { class: "panel" }, this.table(), this.value, this.told, this.buttons(), this.sharing(), ...live);
    const drawn = this.expected && this.names.length > 1;
    const taste = made("div", { class: drawn ? "taste" : "" }, ...(drawn ? [map] : []), panel);
    this.section.replaceChildren(made("h2", {}, "Taste any weighting"), this.lead(), taste);
    this.section.hidden = false;
    if (held instanceof HTMLElement && held !== document.body && held.isConnected) held.focus();
  }

  /** What the table has of a task. @param {string} name @param {number} place */
  field(name, place) {
    const range = { type: "range", min: 0, max: 1000, step: 1, "aria-label": `weight of ${name}` };
    const number = { type: "number", min: 0, max: 100, step: 0.1, "aria-label": `weight of ${name} in percent` };
    const slider = made("input", { ...range, input: () => this.typed(place, Number(slider.value) / 1000) });
    const input = made("input", { ...number, change: () => this.typed(place, Number(input.value) / 100) });
    return { slider, input, expected: made("span"), interval: made("small"), single: made("td"), change: made("td") };
  }

  table() {
    const interval = made("small", {}, "90\u00a0% interval");
    const heads = [["task"], ["weight"], ["expected", interval], ["vs single\u2011task"], ["vs recommended"]];
    const head = heads.map((inside) => made("th", { scope: "col" }, ...inside));
    const rows = this.fields.map(({ slider, input, ...cells }, place) => {
      const weight = made("td", { class: "weights" }, slider, " ", input, "\u00a0%");
      const expected = made("td", {}, cells.expected, cells.interval);
      return made("tr", {}, made("td", {}, this.names[place]), weight, expected, cells.single, cells.change);
    });
    const table = made("table", { class: "tasting" }, made("thead", {}, made("tr", {}, ...head)), made("tbody", {}, ...rows));
    return made("div", { class: "scroll" }, table);
  }

  lead() {
    const few = "There is too little to predict from yet. Preview a few weightings, corners among them: foretaste preview RECIPE";
    if (this.names.length === 1) return made("p", {}, "There is one task, and nothing to weigh: add another to the recipe.");
    if (!this.state.prediction) return made("p", {}, this.live ? `${few}, or Preview here.` : `${few}.`);
    const how = "Drag the point, move a slider, type a weight, or use the arrow keys.";
    return made("p", { class: "note" }, `${how} Expected of joint finetuning; it rests on ${this.state.prediction.basis}.`);
  }

  choices() {
    if (this.names.length === 2) return made("div");
    const metrics = this.state.tasks.map(({ name, metric }) => [name, `${name}, ${metric}`]);
    const offered = [["value", `preference: ${this.state.preference.text}`], ...metrics];
    const shown = selection("what the map shows", offered, this.shown, (value) => {
      this.shown = value;
      this.redraw();
    });
    const parts = [made("label", {}, "Map of ", shown)];
    if (this.names.length > 3) {
      const tasks = this.names.map((name, place) => [String(place), name]);
      const [first, second] = ["first", "second"].map((word, which) =>
        selection(`${word} task of the map`, tasks, String(this.pair[which]), (value) => this.paired(which, Number(value))));
      parts.push(made("label", {}, "over ", first), made("label", {}, "and ", second));
      return made("div", { class: "choices" }, ...parts, made("small", {}, "The others keep their proportions."));
    }
    return made("div", { class: "choices" }, ...parts);
  }

  /** @param {number} which @param {number} place */
  paired(which, place) {
    if (this.pair[1 - which] === place) this.pair[1 - which] = this.pair[which];
    this.pair[which] = place;
    this.build();
    this.redraw();
    this.choose(this.shares, false);
  }

  buttons() {
    const equal = this.names.map(() => 1 / this.names.length);
    const row = made("p", { class: "buttons" });
    if (this.recommended) row.append(button("Recommended", () => this.choose(this.recommended ?? equal)));
    row.append(button("Equal weights", () => this.choose(equal)));
    const works = this.live && this.names.length > 1 ? Object.entries(KINDS) : [];
    for (const [kind, text] of works) row.append(button(text, () => this.work.ask(kind, this.key()), { class: "work" }));
    return row;
  }

  sharing() {
    const row = made("p", { class: "buttons quiet" });
    row.append(button("Copy link", () => copy(location.href, "link", this.work.note)));
    row.append(button("Copy weights", () => copy(this.key(), "weights", this.work.note)));
    if (this.expected && this.names.length > 1) {
      row.append(button("Map as SVG", () => this.map && saveMap(this.map, this.mapName(), "svg")));
      row.append(button("Map as PNG", () => this.map && saveMap(this.map, this.mapName(), "png")));
    }
    if (this.state.rows.length) row.append(button("Table as CSV", () => saveTable(this.state)));
    return row;
  }

  mapName() {
    return this.names.length === 2 ? "curves" : this.shown;
  }

  wishes() {
    return wishes(this.state, (wish) => {
      this.wish = wish;
      this.refresh();
    });
  }

  // ---- choosing ---------------------------------------------------------------------------------------------------

  key() {
    return Simplex.key(this.shares, this.names);
  }

  /** @param {number} place @param {number} share */
  typed(place, share) {
    this.choose(Simplex.withShare(this.shares, place, Number.isFinite(share) ? share : 0));
  }

  /** @param {number[]} shares @param {boolean} [link] whether the address remembers it */
  choose(shares, link = true) {
    this.shares = Simplex.normalised(shares);
    this.exact = null;
    if (link) history.replaceState(null, "", `${location.pathname}${location.search}#weights=${this.key()}`);
    this.update();
    if (this.names.length > 3) this.redrawLater();
    if (this.live && this.expected) this.sharpenLater();
  }

  update() {
    const said = Simplex.said(this.shares, this.names);
    this.map?.put(this.map.pointOf(this.three(this.shares)), said);
    const found = this.expected ? this.exact ?? this.expected(this.shares) : null;
    const best = this.expected && this.recommended ? this.expected(this.recommended) : null;
    this.fields.forEach((cells, place) => {
      const single = this.state.tasks[place].single;
      cells.slider.value = String(Math.round(this.shares[place] * 1000));
      if (document.activeElement !== cells.input) cells.input.value = String(Math.round(this.shares[place] * 1000) / 10);
      cells.expected.textContent = found ? Simplex.number(found.median[place]) : "–";
      cells.interval.textContent = found ? `${Simplex.number(found.low[place])} to ${Simplex.number(found.high[place])}` : "";
      cells.single.textContent = found && single !== null ? Simplex.signed(found.median[place] - single) : "–";
      cells.change.textContent = found && best ? Simplex.signed(found.median[place] - best.median[place]) : "–";
    });
    const value = found && this.worth(found.median);
    const against = value !== null && best ? `, ${Simplex.signed(value - this.worth(best.median))} against the recommended weights` : "";
    const { measure, text } = this.state.preference;
    this.value.textContent = value === null ? "" : `By ${text}, these metrics have the ${measure} ${Simplex.number(value)}${against}.`;
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => {
      const values = found ? `: ${this.names.map((name, place) => `${name} ${Simplex.number(found.median[place])}`).join(", ")}` : "";
      this.told.textContent = said + values;
    }, 400);
  }

  /** By the preference. @param {number[]} values */
  worth(values) {
    return Simplex.value(values, this.state.tasks, this.state.preference);
  }

  /** Shares of the map's corners. @param {number[]} shares */
  three(shares) {
    return this.names.length < 4 ? shares : Simplex.corners(shares, this.pair);
  }

  /** Shares of all tasks from those of the map's corners. @param {number[]} three */
  whole(three) {
    return this.names.length < 4 ? three : Simplex.spread(three, this.shares, this.pair);
  }

  // ---- drawing ----------------------------------------------------------------------------------------------------

  redraw() {
    const expected = this.expected;
    if (!expected || this.names.length < 2) {
      this.map = null;
      return;
    }
    if (this.names.length === 2) this.map = this.curves(expected);
    else this.map = this.triangle(expected);
    this.marks(this.map);
    this.update();
  }

  /** @param {(shares: number[]) => Expected} expected */
  curves(expected) {
    const map = this.map instanceof Curve ? this.map : new Curve(this.holder, (shares) => this.choose(shares), this.names);
    const lines = this.state.tasks.map(({ name, metric }, task) => {
      /** @param {number[]} shares */
      const at = (shares) => {
        const { median, low, high } = expected(shares);
        return { median: median[task], low: low[task], high: high[task] };
      };
      return { name: `${name}, ${metric}`, stroke: colour(task ? "--other" : "--accent"), at };
    });
    map.draw(lines, this.rows());
    return map;
  }

  /** @param {(shares: number[]) => Expected} expected */
  triangle(expected) {
    const corners = this.names.length === 3 ? this.names : [...this.pair.map((place) => this.names[place]), "the others"];
    const same = this.map instanceof Triangle && String(this.map.names) === String(corners) ? this.map : null;
    const map = same ?? new Triangle(this.holder, (three) => this.choose(this.whole(three)), corners);
    const task = this.names.indexOf(this.shown);
    /** @param {number[]} three */
    const value = (three) => {
      const found = expected(this.whole(three)).median;
      return task < 0 ? this.worth(found) : found[task];
    };
    this.others = this.proportions();
    const [text, less] = task < 0 ? ["value", false] : [this.state.tasks[task].metric, !this.state.tasks[task].higher_is_better];
    map.draw(value, this.names.length === 3 ? 40 : 30, text, less);
    return map;
  }

  proportions() {
    return this.names.length < 4 ? "" : this.whole([0, 0, 1]).map((share) => share.toFixed(3)).join();
  }

  redrawLater() {
    if (this.proportions() === this.others || this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      this.redraw();
    });
  }

  /** Previews of the shown method, sharpened ones, joint runs; of more than three tasks those that lie near the map's plane. */
  rows() {
    const order = ["preview", "sharpened", "joint"];
    const rows = this.state.rows.filter((row) => row.fidelity !== "preview" || row.method === this.state.method);
    /** @param {Row} row */
    const near = (row) => this.whole(this.three(row.weights)).every((share, place) => Math.abs(share - row.weights[place]) <= 0.02);
    return rows.filter(near).sort((left, right) => order.indexOf(left.fidelity) - order.indexOf(right.fidelity));
  }

  /** @param {Triangle | Curve} map */
  marks(map) {
    for (const row of this.rows()) {
      const title = Simplex.told(row, this.names);
      if (map instanceof Triangle) map.mark(map.pointOf(this.three(row.weights)), row.fidelity, title);
      else for (const value of row.values) if (value !== null) map.mark([map.x(row.weights[1]), map.y(value)], row.fidelity, title);
    }
    const best = this.recommended;
    if (best) map.mark(map.pointOf(this.three(best)), "star", `recommended: ${Simplex.said(best, this.names)}`);
  }

  // ---- the server -------------------------------------------------------------------------------------------------

  sharpenLater() {
    clearTimeout(this.asking);
    const key = this.key();
    this.asking = setTimeout(async () => {
      const answer = await this.work.asked(`/api/predict?weights=${encodeURIComponent(key)}`).catch(() => null);
      const found = answer && (await answer.json());
      if (!found || this.key() !== key) return;
      this.exact = { median: found.median[0], low: found.low[0], high: found.high[0] };
      this.update();
    }, 150);
  }

  refresh() {
    clearTimeout(this.again);
    return this.work.tried(async () => {
      const [state, sections] = await Promise.all(["state", "sections"].map((part) => this.work.asked(`/api/${part}?${this.wish}`)));
      if (state.status === 202 || sections.status === 202) {
        this.work.note.textContent = "The recommendation for this preference is being worked out; until then you see the last one.";
        this.again = setTimeout(() => this.refresh(), 1000);
        return;
      }
      this.take(await state.json());
      onPage("header .facts").textContent = this.state.facts;
      this.build();
      this.redraw();
      this.update();
      onPage("#sections").innerHTML = await sections.text(); // made and escaped by the server
      drawFigures();
    });
  }
}

/** @returns {Explorer | undefined} */
function begin() {
  if (document.querySelector("script[data-plot]")) drawFigures();
  const stored = document.querySelector("#state");
  if (!stored) return undefined;
  const token = new URLSearchParams(location.search).get("token") ?? "";
  const live = document.body.dataset.live !== undefined;
  return new Explorer(onPage("#taste"), JSON.parse(stored.textContent ?? ""), live ? token : null);
}

const explorer = begin();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  drawFigures();
  explorer?.redraw();
});
