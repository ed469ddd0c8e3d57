// The part of the page about costs: what is chosen, the heat map, its scale, and the exact cost of one pair.

class CostPart {
  constructor() {
    this.all = [];
    this.at = 0;
    this.interval = 0;
    this.pivot = { sources: 0, destinations: 0 };
    this.timer = null;
    this.heat = new HeatMap(byId("heat"), {
      cell: (cell, event) => this.tell(cell, event),
      header: (side, index) => this.sortBy(side, index),
    });
    const on = (id, kind, work) => byId(id).addEventListener(kind, work);
    on("cost-type", "change", () => this.choose(Number(byId("cost-type").value)));
    for (const id of ["row-order", "column-order", "scale"]) on(id, "change", () => this.draw());
    on("zoom-in", "click", () => this.heat.zoomBy(1.5));
    on("zoom-out", "click", () => this.heat.zoomBy(1 / 1.5));
    on("zoom-fit", "click", () => this.heat.zoomBy(null));
    on("interval", "input", () => this.setInterval(Number(byId("interval").value)));
    on("play", "click", () => this.play());
  }

  get costs() {
    return this.all[this.at];
  }

  /** Take costs, staying with the cost type and cell that are shown, if they are still there. */
  load(all) {
    const before = this.costs;
    const same = all.findIndex((one) => one.id === before?.id && one.label === before?.label);
    this.all = all;
    byId("costs").hidden = all.length === 0;
    if (all.length === 0) return;
    const options = all.map((one, at) => element("option", { value: at }, this.title(one)));
    replace(byId("cost-type"), options);
    if (same < 0) this.choose(0);
    else {
      const changed = changedCells(before, all[same]);
      this.at = same;
      byId("cost-type").value = same;
      this.setInterval(Math.min(this.interval, Math.max(0, all[same].intervals - 1)));
      this.heat.flash(changed);
    }
  }

  title(costs) {
    const isAmbiguous = this.all.filter((one) => one.label === costs.label).length > 1;
    return visible(isAmbiguous ? `${costs.label}, ${costs.id}` : costs.label);
  }

  choose(at) {
    this.at = at;
    this.stop();
    byId("cost-type").value = at;
    this.pivot = { sources: 0, destinations: 0 };
    this.setInterval(this.costs.intervalAt(Date.now() / 1000) ?? 0);
    document.dispatchEvent(new Event("cost-type"));
  }

  sortBy(side, index) {
    // The name of a destination orders the sources by what it costs from them to it, and the other way round.
    const other = side === "sources" ? "destinations" : "sources";
    this.pivot[other] = index;
    byId(other === "sources" ? "row-order" : "column-order").value = "pair";
    this.draw();
  }

  setInterval(interval) {
    const { costs } = this;
    this.interval = interval;
    byId("calendar").hidden = costs.calendar === null;
    if (costs.calendar !== null) {
      const slider = byId("interval");
      slider.max = Math.max(0, costs.intervals - 1);
      slider.value = interval;
      const span = costs.span(interval);
      const when = span === null ? "" : `${time(span[0])} to ${time(span[1]).slice(11)}`;
      const text = `Interval ${interval + 1} of ${grouped.format(costs.intervals)}${when === "" ? "" : `: ${when}`}`;
      byId("interval-text").textContent = text;
      slider.setAttribute("aria-valuetext", text);
    }
    this.draw();
  }

  play() {
    if (this.timer !== null) {
      this.stop();
      return;
    }
    byId("play").textContent = "Pause";
    this.timer = setInterval(() => this.setInterval((this.interval + 1) % Math.max(1, this.costs.intervals)), 700);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    byId("play").textContent = "Play";
  }

  draw() {
    const { costs } = this;
    const order = (side, id) => costs.order(side, byId(id).value, this.interval, this.pivot[side]);
    this.nameOrders();
    const [rows, columns] = [order("sources", "row-order"), order("destinations", "column-order")];
    this.heat.show(costs, this.interval, rows, columns, byId("scale").value);
    this.drawScale();
    replace(byId("cost-notes"), this.notes());
    this.tell(this.heat.focus, null);
  }

  nameOrders() {
    const { costs } = this;
    const name = (names, at) => visible(names[at] ?? "");
    byId("row-order").querySelector("[value=pair]").textContent =
      `Cost to ${name(costs.destinations, this.pivot.sources)}`;
    byId("column-order").querySelector("[value=pair]").textContent =
      `Cost from ${name(costs.sources, this.pivot.destinations)}`;
  }

  drawScale() {
    const { costs } = this;
    const { minimum, maximum, values } = costs.summary();
    byId("scale-part").hidden = byId("heat").hidden = values.length === 0;
    if (values.length === 0) return;
    const canvas = byId("scale-bar");
    canvas.width = STEPS;
    canvas.height = 1;
    const context = canvas.getContext("2d");
    ramp().forEach((colour, step) => {
      context.fillStyle = css(colour);
      context.fillRect(step, 0, 1, 1);
    });
    const ends = costs.prefersHigher ? [maximum, minimum] : [minimum, maximum];
    byId("scale-best").textContent = `${costs.text(ends[0])} · best`;
    byId("scale-worst").textContent = `worst · ${costs.text(ends[1])}`;
  }

  notes() {
    const { costs } = this;
    const [sources, destinations, intervals] = costs.leftOut;
    const left = [
      sources > 0 ? count(sources, "source") : null,
      destinations > 0 ? count(destinations, "destination") : null,
      intervals > 0 ? count(intervals, "interval") : null,
    ].filter((text) => text !== null);
    const source = costs.context?.["cost-source"];
    const parts = [
      costs.description === "" ? null : foreign(costs.description, "span"),
      costs.unit === "" ? null : `unit ${costs.unit}`,
      costs.statistic === null ? null : `statistic ${visible(costs.statistic)}`,
      typeof source === "string" ? `source ${visible(source)}` : null,
      `${count(costs.height, "source")}, ${count(costs.width, "destination")}, ${count(costs.summary().count, "cost")}`,
      left.length === 0 ? null : element("strong", {}, `left out of this page: ${left.join(", ")}`),
    ];
    return parts.filter((part) => part !== null).flatMap((part, at) => (at === 0 ? [part] : [" · ", part]));
  }

  /** The exact cost of a pair, beside the map and, for a pointer, next to it. */
  tell(cell, event) {
    const { costs, heat } = this;
    const readout = byId("readout");
    byId("tip").hidden = true;
    if (heat.rows.length === 0 || heat.columns.length === 0) {
      readout.textContent = "There are no costs.";
      return;
    }
    const [row, column] = [heat.rows[cell.row], heat.columns[cell.column]];
    const value = costs.value(row, column, this.interval);
    const pair = () => [foreign(costs.sources[row]), " → ", foreign(costs.destinations[column])];
    const { values } = costs.summary();
    const rank = Number.isNaN(value) ? "" : `rank ${grouped.format(costs.rank(value))} of ${grouped.format(values.length)}`;
    const cost = () => [" ", element("strong", { class: "cost" }, costs.text(value))];
    replace(readout, pair(), cost(), " ", element("span", {}, rank));
    if (costs.intervals > 1) readout.append(this.bars(row, column));
    if (event !== null) this.showTip(event, [pair(), cost()].flat());
  }

  showTip(event, content) {
    const tip = byId("tip");
    replace(tip, content);
    tip.hidden = false;
    const right = event.clientX + 16 + tip.offsetWidth;
    tip.style.left = `${Math.max(4, right > innerWidth ? event.clientX - tip.offsetWidth - 12 : event.clientX + 16)}px`;
    tip.style.top = `${Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 4)}px`;
  }

  /** The calendar of one pair, a bar for each interval. */
  bars(row, column) {
    const { costs } = this;
    const values = Array.from({ length: Math.min(costs.intervals, 96) }, (_, at) => costs.value(row, column, at));
    const known = values.filter((value) => !Number.isNaN(value));
    const [minimum, maximum] = [Math.min(...known), Math.max(...known)];
    const made = values.map((value, at) => {
      const bar = element("span", { class: at === this.interval ? "bar now" : "bar" });
      bar.style.height = `${Number.isNaN(value) ? 0 : 15 + (85 * (value - minimum)) / (maximum - minimum || 1)}%`;
      return bar;
    });
    return element("span", { class: "bars", "aria-hidden": "true" }, made);
  }

  /** Show a PID's row, ordered as it is. */
  reveal(name) {
    const row = this.heat.rows.indexOf(this.costs.rowOf.get(name));
    if (row < 0) return;
    byId("costs").scrollIntoView({ block: "nearest" });
    this.heat.frame.focus();
    this.heat.moveTo(row, 0);
  }
}

/** The places of cells that differ, of matrices between the same PIDs. */
function changedCells(before, after) {
  const found = new Set();
  const names = (costs) => JSON.stringify([costs.sources, costs.destinations, costs.intervals]);
  if (names(before) !== names(after)) return found;
  const size = after.width * after.height;
  for (let at = 0; at < after.cells.length; at++) {
    if (!Object.is(before.cells[at], after.cells[at])) found.add(at % size);
  }
  return found;
}
