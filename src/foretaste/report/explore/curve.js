// The map of two tasks.

/**
 * @typedef {{median: number, low: number, high: number}} Band
 * @typedef {{name: string, stroke: string, at: (shares: number[]) => Band}} Line
 */

/** A map of two tasks: every metric as a curve over the second one's share. */
class Curve extends Field {
  /** The range of the metrics. */
  low = 0;
  high = 1;

  /** @param {HTMLElement} holder @param {(shares: number[]) => void} choose @param {string[]} names */
  constructor(holder, choose, names) {
    super(holder, choose, `curves over the weight of ${names[1]}`, 420);
    this.names = names;
    this.box = { left: 72, right: 528, top: 30, bottom: 350 };
    this.handle.prepend(svgElement("path", { d: `M0 0V${this.box.top - this.box.bottom}`, class: "guide" }));
  }

  /** @param {number} share of the second task */
  x(share) {
    return this.box.left + share * (this.box.right - this.box.left);
  }

  /** @param {number} value of a metric */
  y(value) {
    return this.box.bottom - ((value - this.low) / (this.high - this.low)) * (this.box.bottom - this.box.top);
  }

  /** @override @param {number[]} shares */
  pointOf(shares) {
    return [this.x(shares[1]), this.box.bottom];
  }

  /** @override @param {number} x */
  sharesAt(x) {
    const second = Math.min(1, Math.max(0, (x - this.box.left) / (this.box.right - this.box.left)));
    return [1 - second, second];
  }

  /** @param {Line[]} lines @param {Row[]} rows */
  draw(lines, rows) {
    this.back.replaceChildren();
    this.marks.replaceChildren();
    const shares = Array.from({ length: 101 }, (_, place) => [1 - place / 100, place / 100]);
    const curves = lines.map((line) => shares.map((point) => line.at(point)));
    const measured = rows.flatMap((row) => row.values.filter((value) => value !== null));
    const all = [...curves.flat().flatMap((point) => [point.low, point.high]), ...measured];
    [this.low, this.high] = [Math.min(...all), Math.max(...all)];
    if (!(this.high > this.low)) [this.low, this.high] = [this.low - 0.5, this.high + 0.5];
    this.axes();
    lines.forEach((line, index) => {
      /** @param {"median" | "low" | "high"} key */
      const path = (key) => curves[index].map((point, place) => `${this.x(place / 100).toFixed(1)} ${this.y(point[key]).toFixed(1)}`);
      const [band, median] = [[...path("high"), ...path("low").reverse()], path("median")];
      this.back.append(svgElement("path", { d: `M${band.join("L")}Z`, fill: line.stroke, opacity: 0.15 }));
      this.back.append(svgElement("path", { d: `M${median.join("L")}`, fill: "none", stroke: line.stroke, "stroke-width": 2.5 }));
      const [x, end] = index ? [this.box.right, "end"] : [this.box.left, ""];
      this.back.append(svgElement("text", { x, y: this.box.top - 9, class: `name ${end}`, style: `fill:${line.stroke}` }, line.name));
    });
  }

  axes() {
    const { left, right, bottom } = this.box;
    for (const part of [0, 0.25, 0.5, 0.75, 1]) {
      const value = this.low + part * (this.high - this.low);
      this.back.append(svgElement("path", { d: `M${left} ${this.y(value)}H${right}`, class: "grid" }));
      this.back.append(svgElement("text", { x: left - 6, y: this.y(value) + 4, class: "tick end" }, Simplex.number(value)));
      this.back.append(svgElement("text", { x: this.x(part), y: bottom + 34, class: "tick middle" }, Simplex.percent(part)));
    }
    const title = `weight of ${this.names[1]}, the rest is ${this.names[0]}`;
    this.back.append(svgElement("text", { x: this.width / 2, y: bottom + 60, class: "name middle" }, title));
  }
}
