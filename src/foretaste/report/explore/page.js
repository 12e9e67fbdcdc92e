// The page's elements: how they are made, found and saved.

/**
 * Make an element with attributes, listeners and content.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string | number | boolean | ((event: Event) => void)>} [attributes]
 * @param {...(Node | string)} inside
 * @returns {HTMLElementTagNameMap[Tag]}
 */
function element(tag, attributes = {}, ...inside) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (typeof value === "boolean") node.toggleAttribute(name, value);
    else node.setAttribute(name, String(value));
  }
  node.append(...inside);
  return node;
}

/** @param {string} text @param {() => void} click @param {Record<string, string>} [attributes] */
function button(text, click, attributes = {}) {
  return element("button", { type: "button", ...attributes, click }, text);
}

/** @param {string} label @param {string[][]} options values and texts @param {string} now @param {(value: string) => void} change */
function selection(label, options, now, change) {
  const choices = options.map(([value, text]) => element("option", { value }, text));
  const select = element("select", { "aria-label": label, change: () => change(select.value) }, ...choices);
  select.value = now;
  return select;
}

function legend() {
  const entries = [["preview", "preview"], ["sharpened", "sharpened"], ["joint", "joint run"], ["star", "recommended"]];
  return element("p", { class: "legend" }, ...entries.map(([kind, text]) => element("span", {}, element("span", { class: `key ${kind}` }), text)));
}

/** Find an element that the page must have. @param {string} selector @returns {HTMLElement} */
function findOnPage(selector) {
  const node = document.querySelector(selector);
  if (!(node instanceof HTMLElement)) throw new Error(`the page has no ${selector}`);
  return node;
}

/** Look up a colour of the page as it is now. @param {string} name */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Copy to the clipboard; without one, show the text. @param {string} text @param {string} what @param {HTMLElement} note */
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
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
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
  copy.prepend(svgElement("style", {}, style), svgElement("rect", { width: field.width, height: field.height, fill: colour("--card") }));
  const blob = new Blob([new XMLSerializer().serializeToString(copy)], { type: "image/svg+xml" });
  if (form === "svg") save(blob, `${name}.svg`);
  else rasterise(blob, 2 * field.width, 2 * field.height, (picture) => save(picture, `${name}.png`));
}

/** @param {Blob} drawing @param {number} width @param {number} height @param {(picture: Blob) => void} done */
function rasterise(drawing, width, height, done) {
  const image = new Image();
  image.onload = () => {
    const canvas = element("canvas", { width, height });
    canvas.getContext("2d")?.drawImage(image, 0, 0, width, height);
    canvas.toBlob((picture) => picture && done(picture));
    URL.revokeObjectURL(image.src);
  };
  image.src = URL.createObjectURL(drawing);
}

/** Save all rows as the study has them. @param {State} state */
function saveTable(state) {
  /** @param {unknown} value */
  const quoted = (value) => (/[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ""));
  const names = state.weight_names;
  const metrics = state.tasks.map((task) => `${task.metric} ${task.name}`);
  const head = ["fidelity", "method", "seed", "cost", "hash", ...names.map((name) => `weight ${name}`), ...metrics];
  const lines = state.rows.map((row) => [row.fidelity, row.method, row.seed, row.cost, row.hash, ...row.weights, ...row.values]);
  const text = [head, ...lines].map((line) => line.map(quoted).join(",")).join("\n");
  save(new Blob([`${text}\n`], { type: "text/csv" }), `${state.name}.csv`);
}
