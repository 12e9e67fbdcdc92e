// Task weights and expected metrics: pure functions without a page.

/**
 * @typedef {{
 *   revision?: string, name: string, method: string, facts: string, headline: string, tasks: Task[], rows: Row[], floors: string[],
 *   weight_names: string[], is_from_outside: boolean,
 *   preference: Preference, prediction: Prediction | null, recommendation: {weights: Record<string, number>} | null,
 * }} State
 * @typedef {{name: string, metric: string, higher_is_better: boolean, logarithm: boolean, single: number | null, train_examples: number | null}} Task
 * @typedef {{weights: number[], fidelity: string, method: string, seed: number, cost: number, hash: string, values: (number | null)[]}} Row
 * @typedef {{coefficients: number[][], constants: number[]}} Spline
 * @typedef {{weights: number[][], median: number[][], low: number[][], high: number[][]}} Table
 * @typedef {{
 *   resolution: number, basis: string, weights: number[][], median: number[][], low: number[][], high: number[][],
 *   splines?: {median: Spline, low: Spline, high: Spline}, known?: Table,
 * }} Prediction
 * @typedef {{median: number[], low: number[], high: number[]}} Expected
 * @typedef {{kind: string, importance: Record<string, number>, text: string, measure: string}} Preference
 */

const Simplex = {
  /** Scale shares to add up to 1; all equal if all are 0. @param {number[]} shares @returns {number[]} */
  normalize(shares) {
    const clean = shares.map((share) => Math.max(0, Number.isFinite(share) ? share : 0));
    const total = clean.reduce((sum, share) => sum + share, 0);
    return total > 0 ? clean.map((share) => share / total) : clean.map(() => 1 / clean.length);
  },

  /** Set one share; the others keep their proportions. @param {number[]} shares @param {number} index @param {number} value */
  withShare(shares, index, value) {
    const own = Math.min(1, Math.max(0, value));
    const rest = 1 - shares[index];
    /** @param {number} share */
    const other = (share) => (rest > 1e-9 ? (share / rest) * (1 - own) : (1 - own) / (shares.length - 1));
    return shares.map((share, place) => (place === index ? own : other(share)));
  },

  /** Write weights as the command line reads them; the largest takes what rounding leaves. @param {number[]} shares @param {string[]} names */
  key(shares, names) {
    const rounded = shares.map((share) => Math.round(share * 1e6) / 1e6);
    const largest = rounded.indexOf(Math.max(...rounded));
    const others = rounded.reduce((sum, share, place) => (place === largest ? sum : sum + share), 0);
    rounded[largest] = Math.round((1 - others) * 1e6) / 1e6;
    return names.map((name, place) => `${name}=${rounded[place]}`).join(",");
  },

  /** Of many tasks, the shares of two and of all others together. @param {number[]} shares @param {number[]} pair */
  corners(shares, pair) {
    const [first, second] = pair.map((place) => shares[place]);
    return [first, second, Math.max(0, 1 - first - second)];
  },

  /** The inverse of `corners`; the others keep their proportions. @param {number[]} three @param {number[]} shares @param {number[]} pair */
  spread(three, shares, pair) {
    const others = shares.map((share, place) => (pair.includes(place) ? 0 : share));
    const proportions = others.some((share) => share > 1e-9) ? others : others.map((_, place) => (pair.includes(place) ? 0 : 1));
    const total = proportions.reduce((sum, share) => sum + share, 0);
    return proportions.map((share, place) => (pair.includes(place) ? three[pair.indexOf(place)] : (share / total) * three[2]));
  },

  /** Read what `key` writes; null for anything else. @param {string} text @param {string[]} names @returns {number[] | null} */
  parse(text, names) {
    /** @type {Map<string, number>} */
    const given = new Map();
    for (const part of text.split(",")) {
      const at = part.lastIndexOf("=");
      const name = part.slice(0, at).trim();
      const share = Number(part.slice(at + 1));
      if (at < 0 || !names.includes(name) || !Number.isFinite(share) || share < 0) return null;
      given.set(name, share);
    }
    const shares = names.map((name) => given.get(name) ?? 0);
    return shares.some((share) => share > 0) ? Simplex.normalize(shares) : null;
  },

  /** Describe weights. @param {number[]} shares @param {string[]} names */
  describe(shares, names) {
    return names.map((name, place) => `${name} ${Simplex.percent(shares[place])}`).join(", ");
  },

  /** Describe a row. @param {Row} row @param {string[]} names of the weights @param {string[]} tasks */
  describeRow(row, names, tasks) {
    const kind = row.fidelity === "joint" ? "joint run" : `${row.fidelity}, ${row.method}`;
    const others = names.filter((name) => !tasks.includes(name)).map((name) => `${name} ${Simplex.percent(row.weights[names.indexOf(name)])}`);
    const own = tasks.map((name, place) => {
      const weight = names.indexOf(name);
      return `${name} ${weight < 0 ? "" : `${Simplex.percent(row.weights[weight])} `}${Simplex.number(row.values[place])}`;
    });
    const values = [...others, ...own];
    const facts = [`seed ${row.seed}`, `${Simplex.number(row.cost)} s`, row.hash].filter(Boolean);
    return `${kind}: ${values.join(", ")} (${facts.join(", ")})`;
  },

  /** @param {number} share */
  percent(share) {
    return `${Math.round(share * 1000) / 10}%`;
  },

  /** Write a number with as many digits as the report does. @param {number | null | undefined} value */
  number(value) {
    if (value === null || value === undefined || !Number.isFinite(value)) return "–";
    const size = Math.abs(value);
    if (size === 0) return "0.000";
    return size >= 1e5 || size < 1e-3 ? value.toPrecision(2) : size >= 100 ? value.toFixed(1) : value.toFixed(3);
  },

  /** @param {number} value */
  signed(value) {
    return Math.abs(value) < 5e-4 ? "0.000" : (value > 0 ? "+" : "") + Simplex.number(value);
  },

  /** The preference's value of metrics; more is better. @param {number[]} values @param {Task[]} tasks @param {Preference} preference */
  value(values, tasks, preference) {
    const good = values.map((value, place) => {
      if (tasks[place].logarithm) return -Math.log(Math.max(value, 1e-12));
      return tasks[place].higher_is_better ? value : -value;
    });
    if (preference.kind === "worst") return Math.min(...good);
    const equal = Object.keys(preference.importance).length ? 0 : 1 / tasks.length;
    const importance = tasks.map((task) => preference.importance[task.name] ?? equal);
    return good.reduce((sum, value, place) => sum + value * importance[place], 0);
  },

  /**
   * Predict metrics anywhere from the stored predictions: exactly where a weighting was evaluated, linearly between
   * the points of a lattice, by splines between scattered points.
   * @param {Prediction} prediction @returns {(shares: number[]) => Expected}
   */
  predictor(prediction) {
    if (prediction.splines) return Simplex._splinePredictor(prediction.weights, prediction.splines);
    const places = new Map(prediction.weights.map((weights, index) => [Simplex._place(weights, prediction.resolution), index]));
    return (shares) => {
      const exact = prediction.known && Simplex._stored(prediction.known, shares);
      if (exact) return exact;
      const parts = Simplex._corners(shares, prediction.resolution, places);
      /** @param {number[][]} table */
      const mixed = (table) => table[0].map((_, task) => parts.reduce((sum, [index, part]) => sum + part * table[index][task], 0));
      return { median: mixed(prediction.median), low: mixed(prediction.low), high: mixed(prediction.high) };
    };
  },

  /** The stored prediction for weights that read the same; null if there is none. @param {Table} known @param {number[]} shares */
  _stored(known, shares) {
    const index = known.weights.findIndex((weights) => weights.every((weight, task) => Math.abs(weight - shares[task]) < 5e-4));
    return index < 0 ? null : { median: known.median[index], low: known.low[index], high: known.high[index] };
  },

  /**
   * Evaluate splines: a constant plus multiples of the distances to every stored place, which is the roots of the weights
   * and which weights are 0.
   * @param {number[][]} weights @param {{median: Spline, low: Spline, high: Spline}} splines
   * @returns {(shares: number[]) => Expected}
   */
  _splinePredictor(weights, splines) {
    /** @param {number[]} weights */
    const placeOf = (weights) => [...weights.map(Math.sqrt), ...weights.map((share) => (share > 0 ? 0 : 1))];
    const places = weights.map(placeOf);
    return (shares) => {
      const own = placeOf(shares);
      const far = places.map((place) => Math.hypot(...place.map((value, axis) => value - own[axis])));
      /** @param {Spline} spline */
      const at = ({ coefficients, constants }) =>
        constants.map((constant, task) => far.reduce((sum, distance, index) => sum + distance * coefficients[index][task], constant));
      const median = at(splines.median);
      const low = at(splines.low).map((value, task) => Math.min(value, median[task]));
      const high = at(splines.high).map((value, task) => Math.max(value, median[task]));
      return { median, low, high };
    };
  },

  /** @param {number[]} weights @param {number} resolution */
  _place(weights, resolution) {
    return weights.map((weight) => Math.round(weight * resolution)).join(",");
  },

  /**
   * The lattice points around, and how much each counts.
   * @param {number[]} shares @param {number} resolution @param {Map<string, number>} places @returns {[number, number][]}
   */
  _corners(shares, resolution, places) {
    const scaled = shares.map((share) => share * resolution);
    const whole = scaled.map((value) => Math.floor(value + 1e-9));
    const parts = scaled.map((value, place) => Math.max(0, value - whole[place]));
    const missing = resolution - whole.reduce((sum, value) => sum + value, 0);
    /** @param {number[]} corner */
    const index = (corner) => places.get(corner.join(",")) ?? 0; // all are there: the server sends the whole lattice
    if (missing === 0) return [[index(whole), 1]];
    return whole.map((_, place) => {
      const corner = whole.map((value, other) => value + (missing === 1 ? Number(other === place) : Number(other !== place)));
      return [index(corner), missing === 1 ? parts[place] : 1 - parts[place]];
    });
  },
};
