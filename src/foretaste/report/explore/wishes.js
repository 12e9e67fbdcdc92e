// The weights that give a task the metric that a reader asks for: pure functions without a page.

/** @typedef {{shares: number[], value: number, reached: boolean}} Reach */

const Wishes = {
  /**
   * Find the weights nearest to some others at which a task's expected metric has a value. If none have it, return those
   * that come closest to it.
   * @param {(shares: number[]) => number} metric @param {number[][]} points weightings all over the simplex
   * @param {number[]} values the metric at these points @param {number[]} start @param {number} wish @returns {Reach}
   */
  reach(metric, points, values, start, wish) {
    const now = metric(start);
    const up = wish > now;
    /** @param {number} value */
    const suffices = (value) => (up ? value >= wish : value <= wish);
    if (now === wish) return { shares: start, value: now, reached: true };
    const order = points.map((_, place) => place).sort((left, right) => Wishes._far(points[left], start) - Wishes._far(points[right], start));
    const first = order.find((place) => suffices(values[place]));
    if (first === undefined) {
      const place = values.indexOf(up ? Math.max(...values) : Math.min(...values));
      return { shares: points[place], value: values[place], reached: false };
    }
    let shares = Wishes._cross(metric, start, points[first], suffices);
    for (let step = 0.05; step > 0.004; step /= 2) {
      for (let better = true; better;) {
        const nearer = Wishes._neighbours(shares, step).filter((other) => suffices(metric(other)))
          .map((other) => Wishes._cross(metric, start, other, suffices)).sort((left, right) => Wishes._far(left, start) - Wishes._far(right, start))[0];
        better = nearer !== undefined && Wishes._far(nearer, start) < Wishes._far(shares, start) - 1e-6;
        if (better) shares = nearer;
      }
    }
    return { shares, value: metric(shares), reached: true };
  },

  /** @param {number[]} left @param {number[]} right */
  _far(left, right) {
    return Math.hypot(...left.map((share, place) => share - right[place]));
  },

  /**
   * The first weights on the way from a start, where the metric does not suffice, to an end where it does.
   * @param {(shares: number[]) => number} metric @param {number[]} start @param {number[]} end @param {(value: number) => boolean} suffices
   */
  _cross(metric, start, end, suffices) {
    let [low, high] = [0, 1];
    /** @param {number} part */
    const at = (part) => start.map((share, place) => share + part * (end[place] - share));
    for (let round = 0; round < 16; round += 1) {
      const middle = (low + high) / 2;
      if (suffices(metric(at(middle)))) high = middle;
      else low = middle;
    }
    return at(high);
  },

  /** All weights that differ by moving some weight from one name to another. @param {number[]} shares @param {number} step */
  _neighbours(shares, step) {
    return shares.flatMap((given, from) => shares.flatMap((_, to) => {
      const moved = Math.min(step, given);
      return from === to || moved <= 0 ? [] : [shares.map((share, place) => share + (place === to ? moved : place === from ? -moved : 0))];
    }));
  },
};
