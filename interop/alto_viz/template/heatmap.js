// A matrix of costs on a canvas that shows the part of it that is scrolled to: 2,000 by 2,000 draw as fast as 4 by 4.

const LABELLED = 12; // pixels of a cell from which on rows and columns have their names beside them
const NUMBERED = { width: 34, height: 17 };
const FLASH = 1600; // milliseconds in which what has changed fades

class HeatMap {
  /** `on.cell(row, column, event)` when a cell is pointed at or moved to, `on.header(side, index)` for a name. */
  constructor(frame, on) {
    this.frame = frame;
    this.on = on;
    this.canvas = element("canvas", { "aria-hidden": "true" });
    this.space = element("div", { class: "heat-space" }, this.canvas);
    replace(frame, this.space);
    this.zoom = 1;
    this.focus = { row: 0, column: 0 };
    this.hover = null;
    this.flashes = { since: 0, cells: new Set() };
    this.redraw = throttled(() => this.draw());
    frame.addEventListener("scroll", this.redraw);
    frame.addEventListener("pointermove", (event) => this.point(event));
    frame.addEventListener("pointerleave", () => this.leave());
    frame.addEventListener("click", (event) => this.press(event));
    frame.addEventListener("keydown", (event) => this.key(event));
    frame.addEventListener("focus", this.redraw);
    frame.addEventListener("blur", this.redraw);
    new ResizeObserver(() => this.layOut()).observe(frame);
  }

  /** What to show: costs, an interval, the orders of rows and columns, and how a cost becomes a colour. */
  show(costs, interval, rows, columns, scale) {
    if (this.costs?.id !== costs.id || this.costs.label !== costs.label) {
      this.zoom = 1;
      this.flashes.cells = new Set();
    }
    Object.assign(this, { costs, interval, rows, columns, scale });
    this.focus.row = Math.min(this.focus.row, Math.max(0, rows.length - 1));
    this.focus.column = Math.min(this.focus.column, Math.max(0, columns.length - 1));
    this.paint();
    this.layOut();
  }

  /** Make the picture of the whole: a pixel a cell. */
  paint() {
    const { costs, rows, columns } = this;
    this.colours = ramp();
    this.step = stepper(costs, this.scale);
    this.picture = element("canvas", { width: Math.max(1, columns.length), height: Math.max(1, rows.length) });
    if (rows.length === 0 || columns.length === 0) return;
    const context = this.picture.getContext("2d");
    const image = context.createImageData(columns.length, rows.length);
    const pixels = new Uint32Array(image.data.buffer);
    const packed = this.colours.map(([red, green, blue]) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0);
    const matrix = costs.matrix(this.interval);
    let at = 0;
    for (const row of rows) {
      const start = row * costs.width;
      for (const column of columns) {
        const value = matrix[start + column];
        pixels[at++] = value === value ? packed[this.step(value)] : 0;
      }
    }
    context.putImageData(image, 0, 0);
  }

  /** Sizes of cells, margins, and of what is scrolled. */
  layOut() {
    if (this.costs === undefined || this.frame.clientWidth === 0) return;
    const context = this.canvas.getContext("2d");
    context.font = this.font();
    const widest = (names, limit) =>
      Math.min(limit, Math.max(0, ...names.slice(0, 400).map((name) => context.measureText(visible(name)).width)));
    const across = this.frame.clientWidth;
    const left = Math.ceil(widest(this.costs.sources, Math.min(150, across * 0.3))) + 16;
    const fit = (margin) => Math.min(128, (across - margin - 1) / Math.max(1, this.columns.length)) * this.zoom;
    this.left = Math.min(fit(left), 30) >= LABELLED ? left : 0;
    this.cellWidth = fit(this.left);
    this.cellHeight = Math.min(this.cellWidth, 30);
    const name = Math.ceil(widest(this.costs.destinations, 130)) + 14;
    this.isUpright = name <= this.cellWidth;
    this.top = this.cellWidth < LABELLED ? 0 : this.isUpright ? 26 : name;
    const width = this.left + this.cellWidth * this.columns.length;
    const height = this.top + this.cellHeight * this.rows.length;
    this.space.style.width = `${Math.floor(Math.max(width, 1))}px`;
    this.space.style.height = `${Math.ceil(height) + 1}px`;
    this.frame.style.height = `${Math.min(Math.ceil(height) + 20, Math.max(260, innerHeight * 0.72))}px`;
    this.redraw();
  }

  font(weight = "") {
    return `${weight} 12px ${getComputedStyle(this.frame).fontFamily}`.trim();
  }

  draw() {
    if (this.costs === undefined || this.frame.clientWidth === 0) return;
    const { frame, canvas } = this;
    const ratio = devicePixelRatio || 1;
    const [width, height] = [frame.clientWidth, frame.clientHeight];
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const seen = this.seen(width, height);
    this.drawCells(context, seen);
    this.drawFlashes(context, seen);
    this.drawOutlines(context);
    this.drawNames(context, seen, width, height);
  }

  /** The rows and columns that are in view. */
  seen(width, height) {
    const { scrollLeft, scrollTop } = this.frame;
    const range = (offset, extent, size, total) => [
      Math.max(0, Math.floor(offset / size)),
      Math.min(total, Math.ceil((offset + extent) / size)),
    ];
    const [firstRow, endRow] = range(scrollTop, height - this.top, this.cellHeight, this.rows.length);
    const [firstColumn, endColumn] = range(scrollLeft, width - this.left, this.cellWidth, this.columns.length);
    return { firstRow, endRow, firstColumn, endColumn };
  }

  x(column) {
    return this.left + column * this.cellWidth - this.frame.scrollLeft;
  }

  y(row) {
    return this.top + row * this.cellHeight - this.frame.scrollTop;
  }

  drawCells(context, { firstRow, endRow, firstColumn, endColumn }) {
    const [across, down] = [endColumn - firstColumn, endRow - firstRow];
    if (across <= 0 || down <= 0) return;
    context.imageSmoothingEnabled = this.cellWidth < 1;
    context.imageSmoothingQuality = "high";
    const [left, top] = [this.x(firstColumn), this.y(firstRow)];
    const [width, height] = [across * this.cellWidth, down * this.cellHeight];
    context.drawImage(this.picture, firstColumn, firstRow, across, down, left, top, width, height);
    if (this.cellWidth >= 8 && this.cellHeight >= 8) {
      const style = getComputedStyle(this.frame);
      context.fillStyle = style.backgroundColor;
      for (let row = firstRow; row <= endRow; row++) context.fillRect(left, this.y(row) - 0.5, width, 1);
      for (let column = firstColumn; column <= endColumn; column++) {
        context.fillRect(this.x(column) - 0.5, top, 1, height);
      }
      this.drawNumbers(context, { firstRow, endRow, firstColumn, endColumn }, style.color);
    }
  }

  drawNumbers(context, { firstRow, endRow, firstColumn, endColumn }, muted) {
    context.font = this.font();
    context.textAlign = "center";
    context.textBaseline = "middle";
    const hasNumbers = this.cellWidth >= NUMBERED.width && this.cellHeight >= NUMBERED.height;
    for (let row = firstRow; row < endRow; row++) {
      for (let column = firstColumn; column < endColumn; column++) {
        const value = this.valueAt(row, column);
        const isNone = value !== value;
        if (!isNone && !hasNumbers) continue;
        const colour = isNone ? null : this.colours[this.step(value)];
        context.fillStyle = isNone ? muted : wantsDarkText(colour) ? "#0b2230" : "#ffffff";
        const text = isNone ? "·" : this.short(context, value);
        context.fillText(text, this.x(column) + this.cellWidth / 2, this.y(row) + this.cellHeight / 2 + 0.5);
      }
    }
  }

  /** A number with as many digits as there is room for; the exact one is told beside the map. */
  short(context, value) {
    const room = this.cellWidth - 6;
    const exact = String(value);
    if (context.measureText(exact).width <= room) return exact;
    for (let digits = 6; digits >= 2; digits--) {
      const text = String(Number(value.toPrecision(digits)));
      if (context.measureText(text).width <= room) return text;
    }
    const text = value.toExponential(0).replace("e+", "e");
    return context.measureText(text).width <= room ? text : "";
  }

  drawFlashes(context, seen) {
    const age = (performance.now() - this.flashes.since) / FLASH;
    if (this.flashes.cells.size === 0) return;
    if (age >= 1) {
      this.flashes.cells.clear();
      return;
    }
    context.strokeStyle = getComputedStyle(this.frame).outlineColor;
    context.globalAlpha = 1 - age;
    context.lineWidth = Math.max(1.5, Math.min(2.5, this.cellWidth / 6));
    for (let row = seen.firstRow; row < seen.endRow; row++) {
      for (let column = seen.firstColumn; column < seen.endColumn; column++) {
        if (!this.flashes.cells.has(this.rows[row] * this.costs.width + this.columns[column])) continue;
        const [width, height] = [Math.max(1, this.cellWidth - 4), Math.max(1, this.cellHeight - 4)];
        context.strokeRect(this.x(column) + 2, this.y(row) + 2, width, height);
      }
    }
    context.globalAlpha = 1;
    this.redraw();
  }

  /** Let cells, by their place in the matrix, light up and fade. */
  flash(cells) {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    this.flashes = { since: performance.now(), cells };
    this.redraw();
  }

  drawOutlines(context) {
    const isFocused = document.activeElement === this.frame;
    const style = getComputedStyle(this.frame);
    for (const [cell, isShown] of [[this.hover, this.hover !== null], [this.focus, isFocused]]) {
      if (!isShown || this.rows.length === 0) continue;
      const size = (pixels) => Math.max(4, pixels);
      context.lineWidth = 2;
      context.strokeStyle = cell === this.focus ? style.outlineColor : style.color;
      const [x, y] = [this.x(cell.column), this.y(cell.row)];
      context.strokeRect(x, y, size(this.cellWidth), size(this.cellHeight));
    }
  }

  drawNames(context, seen, width, height) {
    const style = getComputedStyle(this.frame);
    const lit = this.hover ?? (document.activeElement === this.frame ? this.focus : null);
    context.fillStyle = style.backgroundColor;
    context.fillRect(0, 0, this.left, height);
    context.fillRect(0, 0, width, this.top);
    context.fillStyle = style.color;
    context.textBaseline = "middle";
    if (this.left > 0) {
      this.clipped(context, 0, this.top, this.left, height - this.top, () => {
        context.textAlign = "right";
        for (let row = seen.firstRow; row < seen.endRow; row++) {
          context.font = this.font(lit?.row === row ? "700" : "");
          const text = this.cut(context, this.costs.sources[this.rows[row]], this.left - 14);
          context.fillText(text, this.left - 8, this.y(row) + this.cellHeight / 2 + 0.5);
        }
      });
    }
    if (this.top > 0) {
      this.clipped(context, this.left, 0, width - this.left, this.top, () => {
        for (let column = seen.firstColumn; column < seen.endColumn; column++) {
          context.font = this.font(lit?.column === column ? "700" : "");
          this.drawColumnName(context, column);
        }
      });
    }
  }

  drawColumnName(context, column) {
    const name = this.costs.destinations[this.columns[column]];
    const middle = this.x(column) + this.cellWidth / 2;
    context.save();
    context.translate(middle, this.isUpright ? this.top / 2 : this.top - 6);
    if (!this.isUpright) context.rotate(-Math.PI / 2);
    context.textAlign = this.isUpright ? "center" : "left";
    const room = this.isUpright ? this.cellWidth - 4 : this.top - 10;
    context.fillText(this.cut(context, name, room), 0, 0.5);
    context.restore();
  }

  clipped(context, x, y, width, height, work) {
    context.save();
    context.beginPath();
    context.rect(x, y, width, height);
    context.clip();
    work();
    context.restore();
  }

  cut(context, name, room) {
    let text = visible(name);
    if (context.measureText(text).width <= room) return text;
    while (text.length > 1 && context.measureText(`${text}…`).width > room) text = text.slice(0, -1);
    return `${text}…`;
  }

  valueAt(row, column) {
    return this.costs.value(this.rows[row], this.columns[column], this.interval);
  }

  /** What is under the pointer: a cell, the name of a row or column, or null. */
  under(event) {
    if (this.costs === undefined) return null;
    const box = this.frame.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left - this.frame.clientLeft, event.clientY - box.top - this.frame.clientTop];
    if (x >= this.frame.clientWidth || y >= this.frame.clientHeight) return null;
    const column = Math.floor((x - this.left + this.frame.scrollLeft) / this.cellWidth);
    const row = Math.floor((y - this.top + this.frame.scrollTop) / this.cellHeight);
    const [isRow, isColumn] = [y >= this.top && row < this.rows.length, x >= this.left && column < this.columns.length];
    if (isRow && isColumn) return { row, column };
    if (isRow && x < this.left) return { row };
    return isColumn && y < this.top ? { column } : null;
  }

  point(event) {
    const found = this.under(event);
    this.hover = found !== null && "row" in found && "column" in found ? found : null;
    this.frame.style.cursor = found === null || this.hover !== null ? "" : "pointer";
    this.on.cell(this.hover ?? this.focus, this.hover === null ? null : event);
    this.redraw();
  }

  leave() {
    this.hover = null;
    if (this.costs !== undefined) this.on.cell(this.focus, null);
    this.redraw();
  }

  press(event) {
    const found = this.under(event);
    if (found === null) return;
    if (!("column" in found)) this.on.header("sources", this.rows[found.row]);
    else if (!("row" in found)) this.on.header("destinations", this.columns[found.column]);
    else this.moveTo(found.row, found.column);
  }

  key(event) {
    const page = Math.max(1, Math.floor((this.frame.clientHeight - this.top) / this.cellHeight) - 1);
    const { row, column } = this.focus;
    const moves = {
      ArrowUp: [row - 1, column],
      ArrowDown: [row + 1, column],
      ArrowLeft: [row, column - 1],
      ArrowRight: [row, column + 1],
      PageUp: [row - page, column],
      PageDown: [row + page, column],
      Home: [event.ctrlKey ? 0 : row, 0],
      End: [event.ctrlKey ? this.rows.length - 1 : row, this.columns.length - 1],
    };
    const zooms = { "+": 1.5, "=": 1.5, "-": 1 / 1.5, 0: null };
    if (this.costs === undefined || event.altKey || event.metaKey) return;
    if (event.key in moves) this.moveTo(...moves[event.key]);
    else if (event.key in zooms && !event.ctrlKey) this.zoomBy(zooms[event.key]);
    else return;
    event.preventDefault();
  }

  moveTo(row, column) {
    const within = (value, total) => Math.min(Math.max(value, 0), Math.max(0, total - 1));
    this.focus = { row: within(row, this.rows.length), column: within(column, this.columns.length) };
    this.hover = null;
    this.reveal();
    this.on.cell(this.focus, null);
    this.redraw();
  }

  reveal() {
    const { frame } = this;
    const scrolled = (offset, position, size, extent) =>
      Math.min(Math.max(offset, position + size - extent), position);
    const { row, column } = this.focus;
    frame.scrollTop = scrolled(frame.scrollTop, row * this.cellHeight, this.cellHeight, frame.clientHeight - this.top);
    frame.scrollLeft = scrolled(frame.scrollLeft, column * this.cellWidth, this.cellWidth, frame.clientWidth - this.left);
  }

  /** Make cells larger or smaller by a factor; null fits all columns into the frame. */
  zoomBy(factor) {
    const limit = 96 / Math.max(0.01, this.cellWidth / this.zoom);
    this.zoom = factor === null ? 1 : Math.min(Math.max(1, this.zoom * factor), Math.max(1, limit));
    this.layOut();
    this.reveal();
  }
}
