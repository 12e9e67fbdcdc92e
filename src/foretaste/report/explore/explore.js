// The explorer: one panel over the stored prediction; with a server behind it, also work, preferences and news.

const OKABE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a7a00", "#666666"];
const KINDS = { preview: "Preview here", sharpen: "Sharpen here", train: "Train here", "export preview": "Export preview", "export joint": "Export joint model", "export mixture": "Export data mixture" };

/** @param {string} tag @param {Record<string, string | number | boolean | ((event: Event) => void)>} [attributes] @param {...(Node | string)} inside */
function made(tag, attributes = {}, ...inside) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else element.setAttribute(name, String(value));
  }
  element.append(...inside);
  return element;
}

class Explorer {
  /** @param {HTMLElement} section @param {object} state @param {string | null} token null without a server */
  constructor(section, state, token) {
    Object.assign(this, { section, token, live: token !== null, wish: new URLSearchParams(), jobs: [], exact: null });
    this.take(state);
    const linked = Simplex.parsed(new URLSearchParams(location.hash.slice(1)).get("weights") ?? "", this.names);
    this.shares = linked ?? this.recommended ?? this.names.map(() => 1 / this.names.length);
    this.shown = this.names.length === 2 ? "" : "value";
    this.pair = [0, 1];
    this.build();
    this.redraw();
    this.choose(this.shares, false);
    window.addEventListener("hashchange", () => {
      const found = Simplex.parsed(new URLSearchParams(location.hash.slice(1)).get("weights") ?? "", this.names);
      if (found && Simplex.key(found, this.names) !== Simplex.key(this.shares, this.names)) this.choose(found, false);
    });
    if (this.live) this.listen();
  }

  /** A new state of the study. */
  take(state) {
    this.state = state;
    this.tasks = state.tasks;
    this.names = state.tasks.map((task) => task.name);
    this.expected = state.prediction ? Simplex.predictor(state.prediction) : null;
    const found = state.recommendation && state.recommendation.weights;
    this.recommended = found ? this.names.map((name) => found[name]) : null;
  }

  // ---- building ---------------------------------------------------------------------------------------------------

  build() {
    this.holder = made("div", { class: "holder" });
    this.inputs = this.names.map((name, place) => made("input", { type: "number", min: 0, max: 100, step: 0.1, "aria-label": `weight of ${name} in percent`, change: () => this.typed(place, "inputs") }));
    this.sliders = this.names.map((name, place) => made("input", { type: "range", min: 0, max: 1000, step: 1, "aria-label": `weight of ${name}`, input: () => this.typed(place, "sliders") }));
    this.cells = this.names.map(() => ({ expected: made("span"), interval: made("small"), single: made("td"), change: made("td") }));
    const head = ["task", "weight", "expected, 90 % interval", "vs single-task", "vs recommended"];
    const body = this.names.map((name, place) => made("tr", {}, made("td", {}, name), made("td", { class: "weights" }, this.sliders[place], " ", this.inputs[place], " %"), made("td", {}, this.cells[place].expected, this.cells[place].interval), this.cells[place].single, this.cells[place].change));
    const table = made("div", { class: "scroll" }, made("table", { class: "tasting" }, made("thead", {}, made("tr", {}, ...head.map((text) => made("th", { scope: "col" }, text)))), made("tbody", {}, ...body)));
    this.value = made("p", { class: "value" });
    this.told = made("p", { class: "sr", "aria-live": "polite" });
    this.note = made("p", { class: "note", role: "status" });
    const map = made("div", { class: "mapping" }, this.choices(), this.holder, this.legend());
    const right = made("div", { class: "panel" }, table, this.value, this.told, this.buttons(), this.sharing(), this.note, ...(this.live ? [this.wishes(), this.queue()] : []));
    this.section.replaceChildren(made("h2", {}, "Taste any weighting"), this.lead(), made("div", { class: "taste" }, map, right));
    this.section.hidden = false;
  }

  lead() {
    if (this.names.length === 1) return made("p", {}, "There is one task, and nothing to weigh: add another to the recipe.");
    if (!this.expected) return made("p", {}, "There is too little to predict from yet. Preview a few weightings, corners among them: foretaste preview RECIPE, or Preview here.");
    return made("p", { class: "note" }, `Drag the point, move a slider, type a weight, or use the arrow keys. Expected of joint finetuning; it rests on ${this.state.prediction.basis}.`);
  }

  choices() {
    if (this.names.length === 2) return made("div");
    const options = [["value", `preference: ${this.state.preference.text}`], ...this.names.map((name) => [name, `${name}, ${this.tasks[this.names.indexOf(name)].metric}`])];
    const shown = made("select", { "aria-label": "what the map shows", change: () => { this.shown = shown.value; this.redraw(); } }, ...options.map(([value, text]) => made("option", { value }, text)));
    shown.value = this.shown;
    const parts = [made("label", {}, "Map of ", shown)];
    if (this.names.length > 3) {
      const corner = (which) => {
        const select = made("select", { "aria-label": `${which ? "second" : "first"} task of the map`, change: () => this.paired(which, Number(select.value)) }, ...this.names.map((name, place) => made("option", { value: place }, name)));
        select.value = String(this.pair[which]);
        return select;
      };
      parts.push(made("label", {}, " over ", corner(0), " and ", corner(1), "; the others keep their proportions"));
    }
    return made("div", { class: "choices" }, ...parts);
  }

  paired(which, place) {
    if (this.pair[1 - which] === place) this.pair[1 - which] = this.pair[which];
    this.pair[which] = place;
    this.build();
    this.redraw();
    this.choose(this.shares, false);
  }

  legend() {
    const entries = [["preview", "preview"], ["sharpened", "sharpened"], ["joint", "joint run"], ["star", "recommended"]];
    return made("p", { class: "legend" }, ...entries.flatMap(([kind, text]) => [made("span", { class: `key ${kind}` }), `${text}  `]));
  }

  buttons() {
    const go = (shares) => shares && this.choose(shares);
    const row = made("p", { class: "buttons" }, made("button", { type: "button", click: () => go(this.recommended) }, "Recommended"), made("button", { type: "button", click: () => go(this.names.map(() => 1 / this.names.length)) }, "Equal weights"));
    if (this.live) for (const [kind, text] of Object.entries(KINDS)) row.append(made("button", { type: "button", class: "work", "data-kind": kind, click: () => this.ask(kind) }, text));
    return row;
  }

  sharing() {
    const offers = [["Copy link", () => this.copy(location.href, "link")], ["Copy weights", () => this.copy(Simplex.key(this.shares, this.names), "weights")], ["Map as SVG", () => this.saveMap("svg")], ["Map as PNG", () => this.saveMap("png")], ["Table as CSV", () => this.saveTable()]];
    return made("p", { class: "buttons quiet" }, ...offers.map(([text, click]) => made("button", { type: "button", click }, text)));
  }

  wishes() {
    const now = this.state.preference;
    const usual = ["mean", "worst", "knee"].includes(now.kind) ? now.kind : Object.entries(now.importance).map(([name, share]) => `${name}=${Math.round(share * 100) / 100}`).join(",");
    const prefer = made("input", { type: "text", value: usual, list: "preferences", "aria-label": "preference" });
    const floors = made("input", { type: "text", value: this.state.floors.map((floor) => floor.replace(/ of its single-task metric$/, "")).join("; "), placeholder: `${this.names[0]}>=0.85; all>=97%`, "aria-label": "floors" });
    const apply = () => {
      this.wish = new URLSearchParams([["prefer", prefer.value.trim()], ...(floors.value.trim() ? floors.value.split(";").map((floor) => ["floor", floor.trim()]) : [["floor", ""]])]);
      this.refresh();
    };
    const list = made("datalist", { id: "preferences" }, ...["mean", "worst", "knee", `${this.names[0]}=2,${this.names[1] ?? this.names[0]}=1`].map((value) => made("option", { value })));
    return made("form", { class: "wishes", submit: (event) => { event.preventDefault(); apply(); } }, made("label", {}, "Maximise ", prefer, list), made("label", {}, " with ", floors), made("button", { type: "submit" }, "Recommend"));
  }

  queue() {
    this.list = made("div", { class: "jobs", role: "log", "aria-label": "work" });
    return this.list;
  }

  // ---- choosing ---------------------------------------------------------------------------------------------------

  typed(place, from) {
    const value = from === "inputs" ? Number(this.inputs[place].value) / 100 : Number(this.sliders[place].value) / 1000;
    this.choose(Simplex.withShare(this.shares, place, Number.isFinite(value) ? value : 0));
  }

  /** @param {number[]} shares @param {boolean} [link] whether the address remembers it */
  choose(shares, link = true) {
    this.shares = Simplex.normalised(shares);
    this.exact = null;
    if (link) history.replaceState(null, "", `${location.pathname}${location.search}#weights=${Simplex.key(this.shares, this.names)}`);
    this.update();
    if (this.others !== undefined && this.names.length > 3) this.redrawLater();
    if (this.live && this.expected) this.sharpenLater();
  }

  update() {
    const said = Simplex.said(this.shares, this.names);
    this.map?.put(this.map.pointOf(this.three(this.shares)), said);
    const found = this.expected ? this.exact ?? this.expected(this.shares) : null;
    const best = this.expected && this.recommended ? this.expected(this.recommended) : null;
    this.names.forEach((name, place) => {
      this.sliders[place].value = String(Math.round(this.shares[place] * 1000));
      if (document.activeElement !== this.inputs[place]) this.inputs[place].value = String(Math.round(this.shares[place] * 1000) / 10);
      const cells = this.cells[place];
      const single = this.tasks[place].single;
      cells.expected.textContent = found ? Simplex.number(found.median[place]) : "–";
      cells.interval.textContent = found ? `${Simplex.number(found.low[place])} to ${Simplex.number(found.high[place])}` : "–";
      cells.single.textContent = found && single !== null ? Simplex.signed(found.median[place] - single) : "–";
      cells.change.textContent = found && best ? Simplex.signed(found.median[place] - best.median[place]) : "–";
    });
    const value = found ? Simplex.value(found.median, this.tasks, this.state.preference) : null;
    const against = best ? `, ${Simplex.signed(value - Simplex.value(best.median, this.tasks, this.state.preference))} against the recommended weights` : "";
    this.value.textContent = value === null ? "" : `Value, by ${this.state.preference.text}: ${Simplex.number(value)}${against}.`;
    clearTimeout(this.speaking);
    this.speaking = setTimeout(() => {
      this.told.textContent = found ? `${said}: ${this.names.map((name, place) => `${name} ${Simplex.number(found.median[place])}`).join(", ")}` : said;
    }, 400);
  }

  /** Shares of the map's corners. @param {number[]} shares */
  three(shares) {
    if (this.names.length < 4) return shares;
    const [first, second] = this.pair.map((place) => shares[place]);
    return [first, second, Math.max(0, 1 - first - second)];
  }

  /** Shares of all tasks from those of the map's corners. @param {number[]} three */
  whole(three) {
    if (this.names.length < 4) return three;
    const others = this.names.map((_, place) => (this.pair.includes(place) ? 0 : this.shares[place]));
    const kept = others.some((share) => share > 1e-9) ? others : others.map((_, place) => (this.pair.includes(place) ? 0 : 1));
    const total = kept.reduce((sum, share) => sum + share, 0);
    return kept.map((share, place) => (this.pair.includes(place) ? three[this.pair.indexOf(place)] : (share / total) * three[2]));
  }

  // ---- drawing ----------------------------------------------------------------------------------------------------

  redraw() {
    if (!this.expected || this.names.length < 2) {
      this.holder.replaceChildren();
      this.map = null;
      return;
    }
    const chosen = (three) => this.choose(this.whole(three));
    if (this.names.length === 2) {
      if (!(this.map instanceof Curve) || !this.holder.firstChild) this.map = new Curve(this.holder, chosen, this.names);
      const at = (task) => (shares) => { const found = this.expected(shares); return { median: found.median[task], low: found.low[task], high: found.high[task] }; };
      this.map.draw(this.names.map((name, task) => ({ name: `${name}, ${this.tasks[task].metric}`, colour: OKABE[task], at: at(task) })), this.state.rows);
    } else {
      const corners = this.names.length === 3 ? this.names : [...this.pair.map((place) => this.names[place]), "the others"];
      if (!(this.map instanceof Triangle) || !this.holder.firstChild || String(this.map.names) !== String(corners)) this.map = new Triangle(this.holder, chosen, corners);
      const task = this.names.indexOf(this.shown);
      const value = (three) => { const found = this.expected(this.whole(three)).median; return task < 0 ? Simplex.value(found, this.tasks, this.state.preference) : found[task]; };
      this.others = this.proportions();
      this.map.draw(value, this.names.length === 3 ? 40 : 24, task < 0 ? "value" : this.tasks[task].metric, task >= 0 && !this.tasks[task].higher_is_better);
    }
    this.rows();
    this.update();
  }

  proportions() {
    return this.names.length < 4 ? "" : this.whole([0, 0, 1]).map((share) => share.toFixed(3)).join();
  }

  redrawLater() {
    if (this.proportions() === this.others || this.drawing) return;
    this.drawing = requestAnimationFrame(() => { this.drawing = 0; this.redraw(); });
  }

  /** Rows as marks: previews of the shown method, sharpened ones, joint runs; of more than three tasks those that lie near the map's plane. */
  rows() {
    const order = ["preview", "sharpened", "joint"];
    const rows = this.state.rows.filter((row) => row.fidelity !== "preview" || row.method === this.state.method);
    for (const row of rows.sort((left, right) => order.indexOf(left.fidelity) - order.indexOf(right.fidelity))) {
      const three = this.three(row.weights);
      if (this.names.length > 3 && this.whole(three).some((share, place) => Math.abs(share - row.weights[place]) > 0.02)) continue;
      const title = `${row.fidelity === "joint" ? "joint run" : `${row.fidelity}, ${row.method}`}: ${this.names.map((name, place) => `${name} ${Simplex.percent(row.weights[place])} ${Simplex.number(row.values[place])}`).join(", ")} (seed ${row.seed}, ${Simplex.number(row.cost)} s${row.hash ? `, ${row.hash}` : ""})`;
      if (this.map instanceof Curve) row.values.forEach((value) => value !== null && this.map.mark([this.map.x(row.weights[1]), this.map.y(value)], row.fidelity, title));
      else this.map.mark(this.map.pointOf(three), row.fidelity, title);
    }
    if (this.recommended) this.map.mark(this.map.pointOf(this.three(this.recommended)), "star", `recommended: ${Simplex.said(this.recommended, this.names)}`);
  }

  // ---- sharing ----------------------------------------------------------------------------------------------------

  async copy(text, what) {
    try {
      await navigator.clipboard.writeText(text);
      this.note.textContent = `Copied the ${what}.`;
    } catch {
      this.note.textContent = text;
    }
  }

  save(blob, name) {
    const link = made("a", { href: URL.createObjectURL(blob), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  saveMap(form) {
    if (!this.map) return;
    const copy = this.map.svg.cloneNode(true);
    copy.setAttribute("xmlns", SVG);
    copy.setAttribute("width", this.map.width);
    copy.setAttribute("height", this.map.height);
    const look = getComputedStyle(document.documentElement);
    copy.prepend(drawn("style", {}, `text{font:14px sans-serif;fill:${look.getPropertyValue("--ink")}}.end{text-anchor:end}.middle{text-anchor:middle}.contour,.edge,.grid{fill:none;stroke:#fff8;stroke-width:1}.edge,.grid{stroke:#8898}.mark{fill:#fff;stroke:#1f2933}.star{fill:#ff3b30;stroke:#fff}.joint{fill:none;stroke:#fff;stroke-width:2.5}.halo{fill:#fff6}.dot{fill:#fff;stroke:#111;stroke-width:2}`), drawn("rect", { width: this.map.width, height: this.map.height, fill: look.getPropertyValue("--card") }));
    const blob = new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" });
    const name = `${this.shown || "curves"}.${form}`;
    if (form === "svg") return this.save(blob, name);
    const image = new Image();
    image.onload = () => {
      const canvas = made("canvas", { width: 2 * this.map.width, height: 2 * this.map.height });
      canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
      canvas.toBlob((found) => this.save(found, name));
      URL.revokeObjectURL(image.src);
    };
    image.src = URL.createObjectURL(blob);
  }

  saveTable() {
    const quoted = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ""));
    const head = ["fidelity", "method", "seed", "cost", "hash", ...this.names.map((name) => `weight ${name}`), ...this.tasks.map((task) => `${task.metric} ${task.name}`)];
    const lines = this.state.rows.map((row) => [row.fidelity, row.method, row.seed, row.cost, row.hash, ...row.weights, ...row.values]);
    this.save(new Blob([[head, ...lines].map((line) => line.map(quoted).join(",")).join("\n") + "\n"], { type: "text/csv" }), `${this.state.name}.csv`);
  }

  // ---- the server -------------------------------------------------------------------------------------------------

  /** @param {string} path @param {RequestInit} [options] */
  async fetched(path, options = {}) {
    const answer = await fetch(path, { ...options, headers: { "x-foretaste-token": this.token } });
    const data = await answer.json();
    if (!answer.ok) throw new Error(data.error);
    return data;
  }

  async tried(work) {
    try {
      this.note.textContent = "";
      return await work();
    } catch (error) {
      this.note.textContent = error instanceof TypeError ? "The server does not answer; is foretaste explore still running?" : error.message;
    }
  }

  sharpenLater() {
    clearTimeout(this.asking);
    const key = Simplex.key(this.shares, this.names);
    this.asking = setTimeout(async () => {
      const found = await this.fetched(`/api/predict?weights=${encodeURIComponent(key)}`).catch(() => null);
      if (!found || Simplex.key(this.shares, this.names) !== key) return;
      this.exact = { median: found.median[0], low: found.low[0], high: found.high[0] };
      this.update();
    }, 150);
  }

  ask(kind) {
    return this.tried(() => this.fetched("/api/jobs", { method: "POST", body: JSON.stringify({ kind, weights: Simplex.key(this.shares, this.names) }) }));
  }

  refresh() {
    return this.tried(async () => {
      this.take(await this.fetched(`/api/state?${this.wish}`));
      document.querySelector("header .facts").textContent = this.state.facts;
      this.build();
      this.redraw();
      this.showJobs();
      await this.sections();
    });
  }

  async sections() {
    const answer = await fetch(`/api/sections?${this.wish}`, { headers: { "x-foretaste-token": this.token } });
    if (!answer.ok) return;
    const text = await answer.text();
    watched.splice(0).forEach((each) => each.disconnect());
    document.getElementById("sections").innerHTML = text;  // made and escaped by the server
    draw();
  }

  listen() {
    const events = new EventSource(`/api/events?token=${encodeURIComponent(this.token)}`);
    events.addEventListener("jobs", (event) => { this.jobs = JSON.parse(event.data); this.showJobs(); });
    events.addEventListener("study", (event) => { if (JSON.parse(event.data).revision !== this.state.revision) this.refresh(); });
    events.addEventListener("gone", (event) => { this.note.textContent = `${JSON.parse(event.data).error}. What is shown here is the last that was read.`; events.close(); });
    events.onerror = () => { this.note.textContent = "The server does not answer; the page goes on by itself, and tries again."; };
    events.onopen = () => { this.note.textContent = ""; };
  }

  showJobs() {
    const rows = [...this.jobs].reverse().slice(0, 12).map((job) => {
      const open = ["queued", "running", "stopping"].includes(job.state);
      const bar = open && job.total ? [made("progress", { max: job.total, value: Math.min(job.done, job.total), "aria-label": job.stage }), ` ${job.stage} `] : [];
      const cancel = open ? [made("button", { type: "button", click: () => this.tried(() => this.fetched(`/api/jobs/${job.id}`, { method: "DELETE" })) }, "Cancel")] : [];
      const shares = Simplex.parsed(job.weights, this.names);
      return made("p", { class: `job ${job.state}` }, made("button", { type: "button", class: "link", click: () => shares && this.choose(shares) }, `${job.kind} at ${shares ? Simplex.said(shares, this.names) : job.weights}`), `: ${job.state} `, ...bar, ...cancel, job.message ? made("span", { class: job.state === "failed" ? "warn" : "note" }, job.message) : "");
    });
    this.list.replaceChildren(...(rows.length ? rows : [made("p", { class: "note" }, "No work was asked for yet. Preview, sharpen or train at the weights above; it goes on when this page is closed.")]));
  }
}

/** @type {ResizeObserver[]} */
const watched = [];

/** The figures of the report, in the page's colours. */
function draw() {
  watched.splice(0).forEach((each) => each.disconnect());
  const look = getComputedStyle(document.documentElement);
  const [ink, line, card] = ["--ink", "--line", "--card"].map((name) => look.getPropertyValue(name).trim());
  for (const holder of document.querySelectorAll("script[data-plot]")) {
    const figure = JSON.parse(holder.textContent);
    const place = document.getElementById(holder.dataset.plot);
    Object.assign(figure.layout, { paper_bgcolor: card, plot_bgcolor: card });
    figure.layout.font.color = ink;
    figure.layout.hoverlabel = { align: "left", bgcolor: card, font: { color: ink } };
    for (const [name, axis] of Object.entries(figure.layout)) if (/^[xy]axis/.test(name)) axis.gridcolor = line;
    if (figure.layout.ternary) figure.layout.ternary.bgcolor = card;
    const kept = { displaylogo: false, showSendToCloud: false, modeBarButtonsToRemove: ["lasso2d", "select2d", "pan2d", "zoomIn2d", "zoomOut2d", "autoScale2d"] };
    const svg = { name: "SVG", title: "Download as SVG", icon: Plotly.Icons.disk, click: (plot) => Plotly.downloadImage(plot, { format: "svg", filename: holder.dataset.plot }) };
    const resize = () => { place.style.height = `${figure.layout.height}px`; Plotly.Plots.resize(place); };
    Plotly.newPlot(place, figure.data, figure.layout, { ...kept, modeBarButtonsToAdd: [svg] }).then(() => {
      const watching = new ResizeObserver(resize);
      watching.observe(place);
      watched.push(watching);
    });
  }
}

/** @type {Explorer | undefined} */
let explorer;
if (document.querySelector("script[data-plot]")) draw();
const stored = document.getElementById("state");
if (stored) {
  const live = document.body.dataset.live !== undefined;
  const token = new URLSearchParams(location.search).get("token") ?? "";
  explorer = new Explorer(document.getElementById("taste"), JSON.parse(stored.textContent), live ? token : null);
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
