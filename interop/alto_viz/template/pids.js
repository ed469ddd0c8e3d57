// The PIDs of a network map: how much is in each, and on request the prefixes themselves, some at a time.

const PID_STEP = 50;
const PREFIX_STEP = 100;

class Pids {
  constructor() {
    this.by = "given";
    this.isDescending = false;
    this.opened = new Set();
    byId("pid-filter").addEventListener("input", throttled(() => this.draw()));
    for (const button of byId("pid-head").querySelectorAll("button")) {
      button.addEventListener("click", () => this.sort(button.dataset.by));
    }
  }

  load(map) {
    if (this.map?.id === map.id && map.vtag !== null && this.map.vtag?.tag === map.vtag.tag) {
      // Only other resources have changed: what was marked last stays so.
      this.map = map;
      return;
    }
    const changed = this.map?.id === map.id ? this.differences(this.map, map) : new Set();
    if (this.map?.id !== map.id) this.opened.clear();
    this.map = map;
    this.draw(changed);
  }

  /** The names of PIDs whose prefixes are not the same ones as before. */
  differences(before, after) {
    const text = (map) => new Map(map.pids.map((name, pid) => [name, [4, 6].map((family) => this.prefixes(map, family, pid)).join()]));
    if (before.prefixCount(4) + before.prefixCount(6) > 50000) return new Set();
    const old = text(before);
    return new Set([...text(after)].filter(([name, prefixes]) => old.get(name) !== prefixes).map(([name]) => name));
  }

  prefixes(map, family, pid) {
    const table = map.tables[family];
    if (table === undefined) return [];
    return Array.from(table.ofPid.subarray(table.starts[pid], table.starts[pid + 1]), (at) => table.prefix(at));
  }

  sort(by) {
    // Names go up at first, numbers down.
    this.isDescending = this.by === by ? !this.isDescending : by !== "name";
    this.by = by;
    this.draw();
  }

  number(pid, by) {
    const table = this.map.tables[by === "ipv6" ? 6 : 4];
    if (by === "addresses") return this.map.addressCounts?.[pid] ?? 0;
    return table === undefined ? 0 : table.countOf(pid);
  }

  /** The PIDs whose name has what is typed, in the order that is chosen. */
  chosen() {
    const { map, by } = this;
    const wanted = byId("pid-filter").value.trim().toLowerCase();
    const found = [...map.pids.keys()].filter((pid) => wanted === "" || map.pids[pid].toLowerCase().includes(wanted));
    const sign = this.isDescending ? -1 : 1;
    const collator = new Intl.Collator("en", { numeric: true });
    if (by === "name") found.sort((one, other) => sign * collator.compare(map.pids[one], map.pids[other]));
    else if (by !== "given") found.sort((one, other) => sign * (this.number(one, by) - this.number(other, by)));
    return found;
  }

  draw(changed = new Set()) {
    const found = this.chosen();
    const body = element("tbody");
    byId("pid-table").tBodies[0].replaceWith(body);
    const rest = byId("pid-more");
    replace(rest);
    for (const button of byId("pid-head").querySelectorAll("button")) {
      const state = button.dataset.by !== this.by ? "none" : this.isDescending ? "descending" : "ascending";
      button.closest("th").setAttribute("aria-sort", state);
    }
    let shown = 0;
    const grow = () => {
      const end = Math.min(found.length, shown + PID_STEP);
      for (; shown < end; shown++) this.addRows(body, found[shown], changed);
      replace(rest, shown >= found.length ? [] : element("button", { type: "button", class: "more", onclick: grow },
        `Show ${grouped.format(Math.min(PID_STEP, found.length - shown))} more of ${count(found.length, "PID")}`));
    };
    grow();
    if (found.length === 0) body.append(element("tr", {}, element("td", { colspan: "4" }, "No PID has this in its name.")));
  }

  addRows(body, pid, changed) {
    const name = this.map.pids[pid];
    const inside = element("tr", { class: "inside", hidden: true }, element("td", { colspan: "4" }));
    const button = element("button", { type: "button", class: "fold", "aria-expanded": "false" }, foreign(name));
    const fold = (isOpen) => {
      button.setAttribute("aria-expanded", String(isOpen));
      inside.hidden = !isOpen;
      if (isOpen && inside.firstChild.childNodes.length === 0) this.fill(inside.firstChild, pid);
    };
    button.addEventListener("click", () => {
      const isOpen = inside.hidden;
      if (isOpen) this.opened.add(name);
      else this.opened.delete(name);
      fold(isOpen);
    });
    const cells = ["ipv4", "ipv6", "addresses"].map((by) => {
      const number = this.number(pid, by);
      const share = by === "addresses" && this.map.addressCounts !== null ? this.share(number) : null;
      return element("td", { class: "number" }, grouped.format(number), share);
    });
    body.append(element("tr", { class: changed.has(name) ? "changed" : null }, element("th", { scope: "row" }, button), cells), inside);
    if (this.opened.has(name)) fold(true);
  }

  /** A bar: how much of all IPv4 addresses this is. */
  share(number) {
    const fill = element("span", { class: "fill" });
    fill.style.width = `${(100 * number) / 2 ** 32}%`;
    return element("span", { class: "share", "aria-hidden": "true" }, fill);
  }

  fill(cell, pid) {
    let isEmpty = true;
    for (const family of [4, 6]) {
      const table = this.map.tables[family];
      const total = table === undefined ? 0 : table.countOf(pid);
      if (total === 0) continue;
      isEmpty = false;
      const list = element("ul", { class: "prefixes" });
      const start = table.starts[pid];
      growing(list, total, PREFIX_STEP, (at) => this.prefix(table, table.ofPid[start + at]), ["prefix", "prefixes"]);
      cell.append(element("h4", {}, `IPv${family}: ${count(total, "prefix", "prefixes")}`), list);
    }
    if (isEmpty) cell.append(element("p", { class: "hint" }, "It has no prefixes."));
  }

  /** A prefix, and the prefix of another PID that it is cut out of. */
  prefix(table, at) {
    const parent = table.parents[at];
    const isCut = parent >= 0 && table.pids[parent] !== table.pids[at];
    const around = isCut ? [element("span", { class: "cut" }, "in ", table.prefix(parent), " of ", foreign(this.map.pids[table.pids[parent]]))] : [];
    return element("li", {}, element("code", {}, table.prefix(at)), around);
  }
}
