// The explorer: one panel over the stored prediction; with a server behind it also work, preferences and live updates.

class Explorer {
  shown = "value"; // on the map: the preference's value, or a task
  pair = [0, 1]; // tasks at the corners of a map of many
  /** @type {Expected | null} the server's own prediction at the chosen weights */
  exact = null;
  /** @type {Triangle | Curve | null} */
  map = null;
  wish = new URLSearchParams();
  others = ""; // proportions that the map of many was drawn for
  drawing = 0;
  asking = 0;
  again = 0;
  speaking = 0;
  holder = element("div", { class: "holder" });
  value = element("p", { class: "value" });
  wished = element("p", { class: "wished", "aria-live": "polite" });
  /** @type {number[] | null} the weights when the reader began to pull a metric */
  wishedFrom = null;
  reference = "recommended";
  /** @type {number[] | null} weights to compare others with */
  kept = null;
  announcer = element("p", { class: "sr", "aria-live": "polite" });

  /** @param {HTMLElement} section @param {State} state @param {string | null} token null without a server */
  constructor(section, state, token) {
    this.section = section;
    this.state = state;
    this.names = state.weight_names;
    this.tasks = state.tasks.map((task) => task.name);
    this.work = new Work(token ?? "", this.names, (shares) => this.choose(shares));
    this.live = token !== null;
    /** @type {ReturnType<Explorer["field"]>[]} */
    this.fields = [];
    /** @type {((shares: number[]) => Expected) | null} */
    this.expected = null;
    /** @type {number[] | null} */
    this.recommended = null;
    this.load(state);
    this.form = this.preferenceForm();
    this.shares = this.linkedShares() ?? this.recommended ?? this.names.map(() => 1 / this.names.length);
    this.build();
    this.redraw();
    this.choose(this.shares, false);
    this.followChanges();
  }

  followChanges() {
    window.addEventListener("hashchange", () => {
      const shares = this.linkedShares();
      if (shares && Simplex.key(shares, this.names) !== Simplex.key(this.shares, this.names)) this.choose(shares, false);
    });
    if (!this.live) return;
    this.work.show();
    this.work.listen((revision) => revision !== this.state.revision && this.refresh());
  }

  linkedShares() {
    return Simplex.parse(new URLSearchParams(location.hash.slice(1)).get("weights") ?? "", this.names);
  }

  /** Load a new state of the study. @param {State} state */
  load(state) {
    this.state = state;
    this.expected = state.prediction ? Simplex.predictor(state.prediction) : null;
    const weights = state.recommendation?.weights;
    this.recommended = weights ? this.names.map((name) => weights[name]) : null;
    this.tasks = state.tasks.map((task) => task.name);
    this.fields = [...new Set([...this.names, ...this.tasks])].map((name) => {
      const same = this.fields.find((field) => field.name === name);
      return same ?? this.field(name, this.names.indexOf(name));
    });
  }

  // ---- building ---------------------------------------------------------------------------------------------------

  build() {
    const held = document.activeElement;
    if (!this.form.contains(held)) this.form = this.preferenceForm();
    const map = element("div", { class: "mapping" }, this.choices(), this.holder, legend());
    const form = this.state.rows.length ? [this.form] : [];
    const live = this.live ? [this.work.full, this.work.note, ...form, this.work.list] : [this.work.note];
    const panel = element("div", { class: "panel" }, this.table(), this.value, this.wished, this.announcer, this.buttons(), this.sharing(), ...live);
    const hasMap = this.expected && this.names.length > 1;
    const taste = element("div", { class: hasMap ? "taste" : "" }, ...(hasMap ? [map] : []), panel);
    this.section.replaceChildren(element("h2", {}, "Taste any weighting"), this.lead(), taste);
    this.section.hidden = false;
    if (held instanceof HTMLElement && held !== document.body && held.isConnected) held.focus();
  }

  /** Make the cells of a weight, a task, or both in one row. @param {string} name @param {number} place of the weight, or -1 */
  field(name, place) {
    const range = { type: "range", min: 0, max: 1000, step: 1, "aria-label": `weight of ${name}` };
    const number = { type: "number", min: 0, max: 100, step: 0.1, "aria-label": `weight of ${name} in percent` };
    const slider = element("input", { ...range, input: () => this.setShare(place, Number(slider.value) / 1000) });
    const input = element("input", { ...number, change: () => this.setShare(place, Number(input.value) / 100) });
    const reach = { type: "range", class: "reach", "aria-label": `expected metric of ${name}: pull it to what you need` };
    const metric = element("input", { ...reach, input: () => this.reach(name, Number(metric.value)), change: () => { this.wishedFrom = null; } });
    const cells = { expected: element("span"), interval: element("small"), single: element("td", { "data-label": "vs single\u2011task" }), change: element("b"), other: element("small") };
    return { name, place, slider, input, metric, ...cells };
  }

  table() {
    const interval = element("small", {}, "90\u00a0% interval");
    const heads = [[this.hasTaskWeights() ? "task" : "domain or task"], ["weight"], ["expected", interval], ...(this.hasSingles() ? [["vs single\u2011task"]] : []), ["vs ", this.references()]];
    const head = heads.map((inside) => element("th", { scope: "col" }, ...inside));
    const rows = this.fields.map(({ name, place, slider, input, metric, ...cells }) => {
      const weight = element("td", { class: "weights", "data-label": "weight" }, ...(place < 0 ? [] : [slider, " ", input, "\u00a0%"]));
      const pull = this.expected && this.names.length > 1 && this.tasks.includes(name) ? [metric] : [];
      const expected = element("td", { class: "expected", "data-label": "expected, 90\u00a0% interval" }, cells.expected, cells.interval, ...pull);
      return element("tr", {}, element("td", {}, name), weight, expected, ...(this.hasSingles() ? [cells.single] : []), element("td", { "data-label": "difference" }, cells.change, cells.other));
    });
    const table = element("table", { class: "tasting" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
    return element("div", { class: "scroll" }, table);
  }

  /** What the chosen weights are compared with. @returns {Record<string, number[]>} */
  comparable() {
    const rows = this.names.map((name) => this.state.tasks.find((task) => task.name === name)?.train_examples ?? 0);
    const found = {
      recommended: this.recommended,
      "equal weights": this.names.map(() => 1 / this.names.length),
      "data size": rows.every((count) => count > 0) ? Simplex.normalize(rows) : null,
      "kept weights": this.kept,
    };
    return Object.fromEntries(Object.entries(found).flatMap(([name, shares]) => (shares ? [[name, shares]] : [])));
  }

  references() {
    const names = Object.keys(this.comparable());
    if (!names.includes(this.reference)) [this.reference] = names;
    return selection("weights to compare with", names.map((name) => [name, name]), this.reference, (name) => {
      this.reference = name;
      this.update();
    });
  }

  keep() {
    this.kept = this.shares;
    this.reference = "kept weights";
    this.build();
    this.redraw();
  }

  /** Choose the weights that change least so that a task reaches a metric. @param {string} name @param {number} wish */
  reach(name, wish) {
    const task = this.tasks.indexOf(name);
    const { expected } = this;
    const table = this.state.prediction;
    if (!expected || !table) return;
    this.wishedFrom ??= this.shares;
    const values = table.median.map((row) => row[task]);
    const found = Wishes.reach((shares) => expected(shares).median[task], table.weights, values, this.wishedFrom, wish);
    this.choose(found.shares);
    const least = `${name} ${Simplex.number(wish)}`;
    const where = Simplex.describe(found.shares, this.names);
    this.wished.textContent = found.reached
      ? `The least change that gives ${least}: ${where}.`
      : `No weights are expected to give ${least}. The nearest is ${Simplex.number(found.value)}, at ${where}.`;
  }

  /** Whether some task has a model of its own to compare with. */
  hasSingles() {
    return this.state.tasks.some(({ single }) => single !== null);
  }

  /** Whether the tasks themselves are weighted, not other domains. */
  hasTaskWeights() {
    return this.names.every((name) => this.tasks.includes(name));
  }

  lead() {
    const outside = "Too few results to predict joint runs. Tell more of them: foretaste ask STUDY says what to run";
    const few = this.state.is_from_outside ? outside : "Too few results to predict joint runs. Preview a few weightings, the corners too: run foretaste preview RECIPE";
    if (this.names.length === 1) return element("p", {}, "There is only one task, so there is nothing to weigh. Add another one to the recipe.");
    if (!this.state.prediction) return element("p", {}, this.live && !this.state.is_from_outside ? `${few}, or click Preview here.` : `${few}.`);
    const how = "Drag the point, move a slider, type a weight, or use the arrow keys. Or pull an orange bar to the result that you need: the weights follow.";
    const what = "The numbers say what a joint run is expected to give";
    return element("p", { class: "note" }, `${how} ${what}; they rest on ${this.state.prediction.basis}.`);
  }

  choices() {
    if (this.names.length === 2) return element("div");
    const metrics = this.state.tasks.map(({ name, metric }) => [name, `${name}, ${metric}`]);
    const offered = [["value", `preference: ${this.state.preference.text}`], ...metrics];
    const shown = selection("what the map shows", offered, this.shown, (value) => {
      this.shown = value;
      this.redraw();
    });
    const parts = [element("label", {}, "Map of ", shown)];
    if (this.names.length > 3) {
      const noun = this.hasTaskWeights() ? "task" : "domain";
      const tasks = this.names.map((name, place) => [String(place), name]);
      const [first, second] = ["first", "second"].map((word, which) =>
        selection(`${word} ${noun} of the map`, tasks, String(this.pair[which]), (value) => this.setPair(which, Number(value))));
      parts.push(element("label", {}, "over ", first), element("label", {}, "and ", second));
      return element("div", { class: "choices" }, ...parts, element("small", {}, `The other ${noun}s keep their proportions.`));
    }
    return element("div", { class: "choices" }, ...parts);
  }

  /** @param {number} which @param {number} place */
  setPair(which, place) {
    if (this.pair[1 - which] === place) this.pair[1 - which] = this.pair[which];
    this.pair[which] = place;
    this.build();
    this.redraw();
    this.choose(this.shares, false);
  }

  buttons() {
    const equal = this.names.map(() => 1 / this.names.length);
    const row = element("p", { class: "buttons" });
    if (this.recommended) row.append(button("Recommended", () => this.choose(this.recommended ?? equal)));
    row.append(button("Equal weights", () => this.choose(equal)));
    const works = this.live && this.names.length > 1 && !this.state.is_from_outside ? Object.entries(KINDS) : [];
    const sizes = this.comparable()["data size"];
    if (sizes) row.append(button("By data size", () => this.choose(sizes), { title: "weights in proportion to the tasks' training rows" }));
    if (this.expected) row.append(button("Keep to compare", () => this.keep(), { title: "compare other weights with these" }));
    for (const [kind, text] of works) row.append(button(text, () => this.work.ask(kind, this.key()), { class: "work" }));
    return row;
  }

  sharing() {
    const row = element("p", { class: "buttons quiet" });
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

  preferenceForm() {
    return preferenceForm(this.state, (wish) => {
      this.wish = wish;
      this.refresh();
    });
  }

  // ---- choosing ---------------------------------------------------------------------------------------------------

  key() {
    return Simplex.key(this.shares, this.names);
  }

  /** @param {number} place @param {number} share */
  setShare(place, share) {
    this.choose(Simplex.withShare(this.shares, place, Number.isFinite(share) ? share : 0));
  }

  /** @param {number[]} shares @param {boolean} [link] whether the address remembers it */
  choose(shares, link = true) {
    this.shares = Simplex.normalize(shares);
    this.exact = null;
    this.wished.textContent = "";
    if (link) history.replaceState(null, "", `${location.pathname}${location.search}#weights=${this.key()}`);
    this.update();
    if (this.names.length > 3) this.redrawLater();
    if (this.live && this.expected) this.requestExactLater();
  }

  update() {
    const weights = Simplex.describe(this.shares, this.names);
    this.map?.put(this.map.pointOf(this.toCorners(this.shares)), weights);
    const prediction = this.expected ? this.exact ?? this.expected(this.shares) : null;
    const best = this.expected && this.recommended ? this.expected(this.recommended) : null;
    const reference = this.comparable()[this.reference];
    const other = this.expected && reference ? this.expected(reference) : null;
    this.fields.forEach((cells) => {
      if (cells.place >= 0) {
        const share = this.shares[cells.place];
        cells.slider.value = String(Math.round(share * 1000));
        if (document.activeElement !== cells.input) cells.input.value = String(Math.round(share * 1000) / 10);
      }
      const place = this.tasks.indexOf(cells.name);
      if (place < 0) return;
      const single = this.state.tasks[place].single;
      cells.expected.textContent = prediction ? Simplex.number(prediction.median[place]) : "–";
      cells.interval.textContent = prediction ? `${Simplex.number(prediction.low[place])} to ${Simplex.number(prediction.high[place])}` : "";
      cells.single.textContent = prediction && single !== null ? Simplex.signed(prediction.median[place] - single) : "–";
      cells.change.textContent = prediction && other ? Simplex.signed(prediction.median[place] - other.median[place]) : "–";
      const weight = reference && cells.place >= 0 ? ` at ${Simplex.percent(reference[cells.place])}` : "";
      cells.other.textContent = other ? `${Simplex.number(other.median[place])}${weight}` : "";
      if (prediction && document.activeElement !== cells.metric) this.setMetric(cells.metric, place, prediction.median[place]);
    });
    const value = prediction && this.preferred(prediction.median);
    this.value.textContent = value === null ? "" : this.valueSentence(value, best && this.preferred(best.median));
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => {
      const values = prediction ? `: ${this.tasks.map((name, place) => `${name} ${Simplex.number(prediction.median[place])}`).join(", ")}` : "";
      this.announcer.textContent = weights + values;
    }, 400);
  }

  /** @param {HTMLInputElement} input @param {number} task @param {number} value */
  setMetric(input, task, value) {
    const values = this.state.prediction?.median.map((row) => row[task]) ?? [value];
    const [low, high] = [Math.min(...values), Math.max(...values)];
    for (const [name, bound] of Object.entries({ min: low, max: high, step: (high - low) / 200 || "any" })) input.setAttribute(name, String(bound));
    input.value = String(value);
    input.setAttribute("aria-valuetext", Simplex.number(value));
  }

  /** What the preference gives here. @param {number} value @param {number | null} best at the recommended weights */
  valueSentence(value, best) {
    const { measure, text } = this.state.preference;
    const goal = text.replace(/^the /, "");
    const name = `${goal[0].toUpperCase()}${goal.slice(1)}${measure === "value" ? "" : `, ${measure}`}`;
    const difference = best === null ? null : Simplex.signed(value - best);
    const against = difference === "0.000" ? ", the same as at the recommended weights" : `, ${difference} against the recommended weights`;
    return `${name}: ${Simplex.number(value)}${difference === null ? "" : against}.`;
  }

  /** The preference's value of metrics. @param {number[]} values */
  preferred(values) {
    return Simplex.value(values, this.state.tasks, this.state.preference);
  }

  /** The shares of the map's corners. @param {number[]} shares */
  toCorners(shares) {
    return this.names.length < 4 ? shares : Simplex.corners(shares, this.pair);
  }

  /** The shares of all tasks from those of the map's corners. @param {number[]} three */
  fromCorners(three) {
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
    const corners = this.names.length === 3 ? this.names : [...this.pair.map((place) => this.names[place]), this.hasTaskWeights() ? "other tasks" : "other domains"];
    const same = this.map instanceof Triangle && String(this.map.names) === String(corners) ? this.map : null;
    const map = same ?? new Triangle(this.holder, (three) => this.choose(this.fromCorners(three)), corners);
    const task = this.tasks.indexOf(this.shown);
    /** @param {number[]} three */
    const value = (three) => {
      const metrics = expected(this.fromCorners(three)).median;
      return task < 0 ? this.preferred(metrics) : metrics[task];
    };
    this.others = this.proportions();
    const [text, less] = task < 0 ? ["value", false] : [this.state.tasks[task].metric, !this.state.tasks[task].higher_is_better];
    map.draw(value, this.names.length === 3 ? 40 : 30, text, less);
    return map;
  }

  proportions() {
    return this.names.length < 4 ? "" : this.fromCorners([0, 0, 1]).map((share) => share.toFixed(3)).join();
  }

  redrawLater() {
    if (this.proportions() === this.others || this.drawing) return;
    this.drawing = requestAnimationFrame(() => {
      this.drawing = 0;
      this.redraw();
    });
  }

  /** Rows to mark: previews by the shown method, sharpened ones, joint runs; with more than three tasks those near the map's plane. */
  rows() {
    const order = ["preview", "sharpened", "joint"];
    const rows = this.state.rows.filter((row) => row.fidelity !== "preview" || row.method === this.state.method);
    /** @param {Row} row */
    const near = (row) => this.fromCorners(this.toCorners(row.weights)).every((share, place) => Math.abs(share - row.weights[place]) <= 0.02);
    return rows.filter(near).sort((left, right) => order.indexOf(left.fidelity) - order.indexOf(right.fidelity));
  }

  /** @param {Triangle | Curve} map */
  marks(map) {
    for (const row of this.rows()) {
      const title = Simplex.describeRow(row, this.names, this.tasks);
      if (map instanceof Triangle) map.mark(map.pointOf(this.toCorners(row.weights)), row.fidelity, title);
      else for (const value of row.values) if (value !== null) map.mark([map.x(row.weights[1]), map.y(value)], row.fidelity, title);
    }
    const { recommended: best, kept } = this;
    if (kept && map instanceof Triangle) map.mark(map.pointOf(this.toCorners(kept)), "kept", `kept weights: ${Simplex.describe(kept, this.names)}`);
    if (best) map.mark(map.pointOf(this.toCorners(best)), "star", `recommended: ${Simplex.describe(best, this.names)}`);
  }

  // ---- the server -------------------------------------------------------------------------------------------------

  requestExactLater() {
    clearTimeout(this.asking);
    const key = this.key();
    this.asking = setTimeout(async () => {
      const answer = await this.work.request(`/api/predict?weights=${encodeURIComponent(key)}`).catch(() => null);
      const prediction = answer && (await answer.json());
      if (!prediction || this.key() !== key) return;
      this.exact = { median: prediction.median[0], low: prediction.low[0], high: prediction.high[0] };
      this.update();
    }, 150);
  }

  refresh() {
    clearTimeout(this.again);
    return this.work.attempt(async () => {
      const [state, sections] = await Promise.all(["state", "sections"].map((part) => this.work.request(`/api/${part}?${this.wish}`)));
      if (state.status === 202 || sections.status === 202) {
        this.work.note.textContent = "The recommendation for this preference is being worked out; until then you see the last one.";
        this.again = setTimeout(() => this.refresh(), 1000);
        return;
      }
      this.load(await state.json());
      findOnPage("header .facts").textContent = this.state.facts;
      findOnPage("header .headline").textContent = this.state.headline;
      this.build();
      this.redraw();
      this.update();
      findOnPage("#sections").innerHTML = await sections.text(); // the server escapes it
      drawFigures();
    });
  }
}

/** @returns {Explorer | undefined} */
function begin() {
  const stored = document.querySelector("#state");
  if (!stored) return undefined;
  const token = new URLSearchParams(location.search).get("token") ?? "";
  const live = document.body.dataset.live !== undefined;
  return new Explorer(findOnPage("#taste"), JSON.parse(stored.textContent ?? ""), live ? token : null);
}

const explorer = begin();
document.addEventListener("DOMContentLoaded", drawFigures);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  drawFigures();
  explorer?.redraw();
});
