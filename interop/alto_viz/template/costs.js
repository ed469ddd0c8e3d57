// The costs of one type as a matrix of doubles, NaN where there is none; for a calendar one matrix an interval.

class Costs {
  static async read(tree) {
    const costs = Object.assign(new Costs(), tree);
    const octets = await unpacked(tree.cells);
    costs.cells = numbers(octets, tree.scale);
    costs.width = tree.destinations.length;
    costs.height = tree.sources.length;
    costs.rowOf = new Map(tree.sources.map((name, at) => [name, at]));
    costs.summaries = new Map();
    return costs;
  }

  get label() {
    return `${this.metric} (${this.mode})`;
  }

  value(row, column, interval = 0) {
    return this.cells[(interval * this.height + row) * this.width + column];
  }

  matrix(interval) {
    const size = this.width * this.height;
    return this.cells.subarray(interval * size, (interval + 1) * size);
  }

  /** Minimum, maximum, the distinct values in order, and how many costs there are, over all intervals. */
  summary() {
    if (this.summaries.has("all")) return this.summaries.get("all");
    const known = this.cells.filter((value) => value === value).sort();
    let size = 0;
    const distinct = new Float64Array(known.length);
    for (const value of known) if (size === 0 || distinct[size - 1] !== value) distinct[size++] = value;
    const found = { count: known.length, values: distinct.slice(0, size), minimum: known[0], maximum: known.at(-1) };
    this.summaries.set("all", found);
    return found;
  }

  /** Among the distinct costs the place of one, from 0 for the least. */
  place(value) {
    const { values } = this.summary();
    let low = 0;
    let high = values.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (values[middle] < value) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The rank of a cost among all of the type, 1 for the most preferred. */
  rank(value) {
    return this.prefersHigher ? this.summary().values.length - this.place(value) : this.place(value) + 1;
  }

  text(value) {
    return Number.isNaN(value) ? "no cost" : `${grouped.format(value)}${this.unit === "" ? "" : ` ${this.unit}`}`;
  }

  /** The destinations from a source, the best first. */
  nearest(row, interval, limit) {
    const found = [];
    for (let column = 0; column < this.width; column++) {
      const value = this.value(row, column, interval);
      if (value === value) found.push({ name: this.destinations[column], value });
    }
    const sign = this.prefersHigher ? -1 : 1;
    return found.sort((one, other) => sign * (one.value - other.value)).slice(0, limit);
  }

  /** The indices of rows ("sources") or columns ("destinations") in the order asked for; what has no cost comes last. */
  order(side, by, interval, pivot) {
    const names = this[side];
    const indices = Uint32Array.from(names.keys());
    if (by === "name") {
      const collator = new Intl.Collator("en", { numeric: true });
      return indices.sort((one, other) => collator.compare(names[one], names[other]));
    }
    if (by === "given") return indices;
    const isRow = side === "sources";
    const keys = new Float64Array(names.length);
    for (let at = 0; at < names.length; at++) {
      if (by === "mean") keys[at] = this.mean(isRow, at, interval);
      else keys[at] = isRow ? this.value(at, pivot, interval) : this.value(pivot, at, interval);
    }
    const sign = this.prefersHigher ? -1 : 1;
    const key = (at) => (Number.isNaN(keys[at]) ? Infinity : sign * keys[at]);
    return indices.sort((one, other) => (key(one) === key(other) ? one - other : key(one) - key(other)));
  }

  mean(isRow, at, interval) {
    let sum = 0;
    let size = 0;
    for (let other = 0; other < (isRow ? this.width : this.height); other++) {
      const value = isRow ? this.value(at, other, interval) : this.value(other, at, interval);
      if (value === value) {
        sum += value;
        size++;
      }
    }
    return size === 0 ? NaN : sum / size;
  }

  /** When an interval of the calendar begins and ends, in Unix time; null for no calendar or an unknown start. */
  span(interval) {
    if (this.calendar === null || this.calendar.start === null) return null;
    const begin = this.calendar.start + interval * this.calendar.size;
    return [begin, begin + this.calendar.size];
  }

  /** The interval in which the Unix time lies, or null. */
  intervalAt(seconds) {
    const { start, size, repeated } = this.calendar ?? { start: null };
    if (start === null || size <= 0 || seconds < start) return null;
    const place = Math.floor((seconds - start) / size);
    const total = this.intervals + this.leftOut[2];
    return place < total * repeated && place % total < this.intervals ? place % total : null;
  }
}
