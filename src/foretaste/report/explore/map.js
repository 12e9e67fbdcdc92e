// The map: a metric over the simplex as an SVG, with a handle to drag.

const SVG = "http://www.w3.org/2000/svg";
const FEW = 0.15; // share of the values
const VIRIDIS = ["#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"];

/**
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string | number>} [attributes]
 * @param {string} [text]
 * @returns {SVGElementTagNameMap[Tag]}
 */
function svgElement(tag, attributes = {}, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value));
  if (text !== undefined) node.textContent = text;
  return node;
}

/** @param {number} share between 0 and 1 */
function shade(share) {
  const place = Math.min(1, Math.max(0, share)) * (VIRIDIS.length - 1);
  const left = Math.min(VIRIDIS.length - 2, Math.floor(place));
  const parts = [1, 3, 5].map((at) => {
    const [low, high] = [VIRIDIS[left], VIRIDIS[left + 1]].map((colour) => parseInt(colour.slice(at, at + 2), 16));
    return Math.round(low + (high - low) * (place - left));
  });
  return `rgb(${parts.join(",")})`;
}

/**
 * Choose the range of the colours: all values, unless the worst few are so far off that the others would look alike.
 * @param {number[]} values @param {boolean} less whether less is better
 */
function spread(values, less) {
  const sorted = [...values].sort((left, right) => left - right);
  const at = (/** @type {number} */ share) => sorted[Math.round(share * (sorted.length - 1))];
  const [low, high, fence] = [at(0), at(1), at(less ? 1 - FEW : FEW)];
  if (less) return high - fence > fence - low ? { low, high: fence, beyond: "≥ " } : { low, high, beyond: "" };
  return fence - low > high - fence ? { low: fence, high, beyond: "≤ " } : { low, high, beyond: "" };
}

/** What both kinds of map have in common; each knows which shares lie where. */
class Field {
  width = 560;
  /** Where the handle is. */
  at = [0, 0];

  /** @param {HTMLElement} holder @param {(shares: number[]) => void} choose @param {string} label @param {number} height */
  constructor(holder, choose, label, height) {
    this.height = height;
    this.choose = choose;
    this.svg = svgElement("svg", { viewBox: `0 0 ${this.width} ${height}`, class: "map", role: "group", "aria-label": label });
    this.back = this.svg.appendChild(svgElement("g"));
    this.marks = this.svg.appendChild(svgElement("g"));
    const attributes = { role: "slider", "aria-label": "weights: arrow keys move the point, with Shift further", "aria-valuemin": 0, "aria-valuemax": 1 };
    this.handle = this.svg.appendChild(svgElement("g", { class: "handle", tabindex: 0, ...attributes }));
    this.handle.append(svgElement("circle", { r: 13, class: "halo" }), svgElement("circle", { r: 7, class: "dot" }));
    holder.replaceChildren(this.svg);
    this.svg.addEventListener("pointerdown", (event) => this.grab(event));
    this.handle.addEventListener("keydown", (event) => this.moveByKey(event));
  }

  /** Where shares lie on the map. @param {number[]} shares @returns {number[]} */
  pointOf(shares) {
    throw new Error(`this map does not know where ${shares} are`);
  }

  /** Which shares lie at a point. @param {number} x @param {number} y @returns {number[]} */
  sharesAt(x, y) {
    throw new Error(`this map does not know what is at ${x}, ${y}`);
  }

  /** @param {PointerEvent} event */
  grab(event) {
    event.preventDefault();
    this.handle.focus();
    /** @param {PointerEvent} moved */
    const move = (moved) => {
      const at = new DOMPoint(moved.clientX, moved.clientY).matrixTransform(this.svg.getScreenCTM()?.inverse());
      this.choose(this.sharesAt(at.x, at.y));
    };
    const leave = () => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", leave);
      window.removeEventListener("pointercancel", leave);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", leave);
    window.addEventListener("pointercancel", leave);
    move(event);
  }

  /** @param {KeyboardEvent} event */
  moveByKey(event) {
    const step = event.shiftKey ? 25 : 5;
    /** @type {Record<string, number[]>} */
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const by = moves[event.key];
    if (!by) return;
    event.preventDefault();
    this.choose(this.sharesAt(this.at[0] + by[0] * step, this.at[1] + by[1] * step));
  }

  /** @param {number[]} point @param {string} text of the screen reader */
  put(point, text) {
    this.at = point;
    this.handle.setAttribute("transform", `translate(${point[0]} ${point[1]})`);
    this.handle.setAttribute("aria-valuetext", text);
  }

  /** Draw a colour bar under the map. @param {string} low @param {string} high @param {string} text @param {number} y */
  bar(low, high, text, y) {
    const [left, width] = [this.width / 2 - 140, 280];
    for (let place = 0; place < 56; place += 1) {
      const fill = shade((place + 0.5) / 56);
      this.back.append(svgElement("rect", { x: left + (place * width) / 56, y, width: width / 56 + 0.6, height: 10, fill }));
    }
    this.back.append(svgElement("text", { x: left, y: y + 28, class: "tick" }, low));
    this.back.append(svgElement("text", { x: left + width, y: y + 28, class: "tick end" }, high));
    this.back.append(svgElement("text", { x: this.width / 2, y: y + 28, class: "tick middle" }, text));
  }

  /** @param {number[]} point @param {string} kind @param {string} title */
  mark(point, kind, title) {
    const holder = svgElement("g", { transform: `translate(${point[0]} ${point[1]})`, class: `mark ${kind}` });
    if (kind === "star") holder.append(svgElement("path", { d: STAR_PATH }));
    else if (kind === "joint") holder.append(svgElement("rect", { x: -5, y: -5, width: 10, height: 10, transform: "rotate(45)" }));
    else holder.append(svgElement("circle", { r: kind === "sharpened" ? 4.5 : 3 }));
    holder.append(svgElement("title", {}, title));
    this.marks.append(holder);
  }
}

const STAR_PATH = Array.from({ length: 10 }, (_, place) => {
  const [radius, angle] = [place % 2 ? 4.4 : 11, (Math.PI * place) / 5 - Math.PI / 2];
  return `${place ? "L" : "M"}${(radius * Math.cos(angle)).toFixed(2)} ${(radius * Math.sin(angle)).toFixed(2)}`;
}).join("") + "Z";

/** @typedef {{point: number[], value: number}} Spot */

/** A triangle whose corners are three tasks, or two tasks and all others together. */
class Triangle extends Field {
  /** @param {HTMLElement} holder @param {(three: number[]) => void} choose @param {string[]} names */
  constructor(holder, choose, names) {
    super(holder, choose, `map of ${names.join(", ")}`, 560);
    this.names = names;
    this.points = [[280, 52], [40, 456], [520, 456]];
  }

  /** @override @param {number[]} three */
  pointOf(three) {
    return [0, 1].map((axis) => three.reduce((sum, share, corner) => sum + share * this.points[corner][axis], 0));
  }

  /** @override @param {number} x @param {number} y */
  sharesAt(x, y) {
    const [[ax, ay], [bx, by], [cx, cy]] = this.points;
    const whole = (by - cy) * (ax - cx) + (cx - bx) * (ay - cy);
    const first = ((by - cy) * (x - cx) + (cx - bx) * (y - cy)) / whole;
    const second = ((cy - ay) * (x - cx) + (ax - cx) * (y - cy)) / whole;
    return Simplex.normalize([first, second, 1 - first - second]);
  }

  /** @param {(three: number[]) => number} value @param {number} resolution @param {string} text @param {boolean} less */
  draw(value, resolution, text, less) {
    this.back.replaceChildren();
    this.marks.replaceChildren();
    const grid = Array.from({ length: resolution + 1 }, (_, i) => Array.from({ length: resolution + 1 - i }, (_unused, j) => {
      const three = [i / resolution, j / resolution, (resolution - i - j) / resolution];
      return { point: this.pointOf(three), value: value(three) };
    }));
    const { low, high, beyond } = spread(grid.flat().map((spot) => spot.value), less);
    /** @type {Spot[][]} */
    const cells = [];
    for (let i = 0; i < resolution; i += 1) for (let j = 0; j < resolution - i; j += 1) {
      cells.push([grid[i][j], grid[i + 1][j], grid[i][j + 1]]);
      if (j < resolution - i - 1) cells.push([grid[i + 1][j + 1], grid[i + 1][j], grid[i][j + 1]]);
    }
    this.fill(cells, low, high, less);
    this.contours(cells, low, high);
    this.back.append(svgElement("path", { d: `M${this.points.map((point) => point.join(" ")).join("L")}Z`, class: "edge" }));
    this.frame();
    this.bar(beyond + Simplex.number(less ? high : low), Simplex.number(less ? low : high), text, 520);
  }

  /** @param {Spot[][]} cells @param {number} low @param {number} high @param {boolean} less */
  fill(cells, low, high, less) {
    /** @type {Map<number, string[]>} */
    const shades = new Map();
    for (const cell of cells) {
      const share = high > low ? (cell.reduce((sum, spot) => sum + spot.value, 0) / 3 - low) / (high - low) : 0.5;
      const bin = Math.round(Math.min(1, Math.max(0, less ? 1 - share : share)) * 63);
      const path = `M${cell.map((spot) => spot.point.map((part) => part.toFixed(1)).join(" ")).join("L")}Z`;
      shades.set(bin, [...(shades.get(bin) ?? []), path]);
    }
    for (const [bin, paths] of shades) {
      this.back.append(svgElement("path", { d: paths.join(""), fill: shade(bin / 63), stroke: shade(bin / 63), "stroke-width": 0.7 }));
    }
  }

  /** @param {Spot[][]} cells @param {number} low @param {number} high */
  contours(cells, low, high) {
    if (!(high > low)) return;
    const step = 10 ** Math.floor(Math.log10((high - low) / 3));
    const wide = [1, 2, 5, 10].map((times) => times * step).find((width) => (high - low) / width <= 9) ?? high - low;
    for (let level = Math.ceil(low / wide) * wide; level < high; level += wide) {
      /** @type {string[]} */
      const lines = [];
      for (const cell of cells) {
        /** @type {string[]} */
        const cuts = [];
        for (const [left, right] of [[cell[0], cell[1]], [cell[1], cell[2]], [cell[2], cell[0]]]) {
          if (left.value < level === right.value < level) continue;
          const part = (level - left.value) / (right.value - left.value);
          cuts.push([0, 1].map((axis) => (left.point[axis] + part * (right.point[axis] - left.point[axis])).toFixed(1)).join(" "));
        }
        if (cuts.length === 2) lines.push(`M${cuts.join("L")}`);
      }
      const line = svgElement("path", { d: lines.join(""), class: "contour" });
      line.append(svgElement("title", {}, Simplex.number(level)));
      if (lines.length) this.back.append(line);
    }
  }

  frame() {
    const [[ax, ay], [bx, by], [cx, cy]] = this.points;
    this.back.append(svgElement("text", { x: ax, y: ay - 24, class: "name middle" }, this.names[0]));
    this.back.append(svgElement("text", { x: Math.max(4, bx - 34), y: by + 34, class: "name" }, this.names[1]));
    this.back.append(svgElement("text", { x: Math.min(this.width - 4, cx + 34), y: cy + 34, class: "name end" }, this.names[2]));
    for (const share of [0.25, 0.5, 0.75]) {
      const [x, y] = this.pointOf([share, 1 - share, 0]);
      this.back.append(svgElement("text", { x: x - 8, y: y + 4, class: "tick end" }, `${share * 100}%`));
    }
  }
}
