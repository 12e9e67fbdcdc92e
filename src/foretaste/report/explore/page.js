// The page's elements: made, found, saved.

/**
 * An element with attributes, listeners and what is inside.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string | number | boolean | ((event: Event) => void)>} [attributes]
 * @param {...(Node | string)} inside
 * @returns {HTMLElementTagNameMap[Tag]}
 */
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

/** @param {string} text @param {() => void} click @param {Record<string, string>} [attributes] */
function button(text, click, attributes = {}) {
  return made("button", { type: "button", ...attributes, click }, text);
}

/** @param {string} label @param {string[][]} options values and texts @param {string} now @param {(value: string) => void} change */
function selection(label, options, now, change) {
  const choices = options.map(([value, text]) => made("option", { value }, text));
  const select = made("select", { "aria-label": label, change: () => change(select.value) }, ...choices);
  select.value = now;
  return select;
}

function legend() {
  const entries = [["preview", "preview"], ["sharpened", "sharpened"], ["joint", "joint run"], ["star", "recommended"]];
  return made("p", { class: "legend" }, ...entries.map(([kind, text]) => made("span", {}, made("span", { class: `key ${kind}` }), text)));
}

/** An element that the page has. @param {string} selector @returns {HTMLElement} */
function onPage(selector) {
  const found = document.querySelector(selector);
  if (!(found instanceof HTMLElement)) throw new Error(`the page has no ${selector}`);
  return found;
}

/** A colour of the page, as it is now. @param {string} name */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** To the clipboard; where there is none, it is shown. @param {string} text @param {string} what @param {HTMLElement} note */
async function copy(text, what, note) {
  try {
    await navigator.clipboard.writeText(text);
    note.textContent = `Copied the ${what}.`;
  } catch {
    note.textContent = text;
  }
}

/** @param {Blob} blob @param {string} name */
function save(blob, name) {
  const link = made("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** @param {Field} field @param {string} name @param {"svg" | "png"} form */
function saveMap(field, name, form) {
  const copy = /** @type {SVGSVGElement} */ (field.svg.cloneNode(true));
  const size = { xmlns: SVG, width: field.width, height: field.height };
  for (const [key, value] of Object.entries(size)) copy.setAttribute(key, String(value));
  const style = `text{font:14px sans-serif;fill:${colour("--ink")}}.end{text-anchor:end}.middle{text-anchor:middle}`
    + ".contour,.edge,.grid{fill:none;stroke:#fff8;stroke-width:1}.edge,.grid,.guide{stroke:#8898}.mark{fill:#fff;stroke:#1f2933}"
    + ".sharpened{fill:#e69f00}.star{fill:#ff3b30;stroke:#fff}.joint{fill:#d1006c;stroke:#fff;stroke-width:1.6}"
    + ".halo{fill:#fff6;stroke:#1f2933;stroke-width:2.5}.dot{fill:#fff;stroke:#1f2933;stroke-width:2.5}";
  copy.prepend(drawn("style", {}, style), drawn("rect", { width: field.width, height: field.height, fill: colour("--card") }));
  const blob = new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" });
  if (form === "svg") save(blob, `${name}.svg`);
  else rasterise(blob, 2 * field.width, 2 * field.height, (found) => save(found, `${name}.png`));
}

/** @param {Blob} drawing @param {number} width @param {number} height @param {(found: Blob) => void} done */
function rasterise(drawing, width, height, done) {
  const image = new Image();
  image.onload = () => {
    const canvas = made("canvas", { width, height });
    canvas.getContext("2d")?.drawImage(image, 0, 0, width, height);
    canvas.toBlob((found) => found && done(found));
    URL.revokeObjectURL(image.src);
  };
  image.src = URL.createObjectURL(drawing);
}

/** All rows, as the study has them. @param {State} state */
function saveTable(state) {
  /** @param {unknown} value */
  const quoted = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ""));
  const names = state.tasks.map((task) => task.name);
  const metrics = state.tasks.map((task) => `${task.metric} ${task.name}`);
  const head = ["fidelity", "method", "seed", "cost", "hash", ...names.map((name) => `weight ${name}`), ...metrics];
  const lines = state.rows.map((row) => [row.fidelity, row.method, row.seed, row.cost, row.hash, ...row.weights, ...row.values]);
  const text = [head, ...lines].map((line) => line.map(quoted).join(",")).join("\n");
  save(new Blob([`${text}\n`], { type: "text/csv" }), `${state.name}.csv`);
}
