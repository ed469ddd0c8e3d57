// Which PID an address is in, and why: every prefix around it, of which the longest decides.

class Lookup {
  /** `page` has the chosen `map`, the `costs` part and the `properties`. */
  constructor(page) {
    this.page = page;
    this.input = byId("address");
    this.input.addEventListener("input", () => this.answer(false));
    byId("lookup-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.answer(true);
    });
    document.addEventListener("cost-type", () => this.answer(false));
  }

  /** Tell what is typed; a half-typed address is no mistake until `isFinal`. */
  answer(isFinal) {
    const text = this.input.value.trim();
    const address = parseAddress(text);
    const isWrong = address === null && text !== "" && isFinal;
    this.input.setAttribute("aria-invalid", String(isWrong));
    const result = byId("lookup-result");
    if (address !== null) replace(result, this.found(address));
    else if (isWrong) replace(result, element("p", { class: "mistake" }, "This is no IPv4 or IPv6 address."));
    else replace(result, element("p", { class: "hint" }, "Type an address: its PID, and every prefix around it."));
  }

  found(address) {
    const { map } = this.page;
    const shown = formatAddress(address.family, address.words);
    const parts = [];
    if (map !== undefined) parts.push(...this.why(address, shown, map.locate(address), map));
    parts.push(...this.properties(address));
    return parts.length > 0 ? parts : [element("p", { class: "hint" }, "There is no network map to look in.")];
  }

  why(address, shown, chain, map) {
    const kind = `IPv${address.family}`;
    if (chain.length === 0) {
      const text = map.tables[address.family] === undefined
        ? `The network map has no ${kind} prefixes, so it says nothing of ${shown}.`
        : `No prefix of the network map contains ${shown}: it is in no PID.`;
      return [element("p", { class: "pid-name none" }, "no PID"), element("p", {}, text), ...this.caution(map)];
    }
    const best = chain[chain.length - 1];
    const reason = chain.length === 1
      ? " is the only prefix of the map that contains it."
      : ` is the longest of the ${chain.length} prefixes that contain it.`;
    return [
      element("p", { class: "pid-name" }, foreign(best.pid)),
      element("p", {}, element("code", {}, shown), " is there because ", element("code", {}, best.prefix), reason),
      this.chain(chain, FAMILIES[address.family].bits),
      ...this.caution(map),
      ...this.nearest(best.pid),
    ];
  }

  /** The prefixes around the address, the shortest first; the bar is how many bits each one fixes. */
  chain(chain, bits) {
    const rows = chain.map(({ prefix, length, pid }, at) => {
      const bar = element("span", { class: "fill" });
      bar.style.width = `${(100 * length) / bits}%`;
      const decides = at === chain.length - 1;
      return element(
        "li",
        { class: decides ? "decides" : null },
        element("span", { class: "link" }, element("code", {}, prefix), foreign(pid)),
        element("span", { class: "bits", "aria-hidden": "true" }, bar),
        decides ? element("span", { class: "badge" }, "decides") : null,
      );
    });
    return element("ol", { class: "chain", "aria-label": "Prefixes that contain the address" }, rows);
  }

  caution(map) {
    if (map.leftOut === 0) return [];
    const text = `This page leaves out the ${count(map.leftOut, "longest prefix", "longest prefixes")} of the map: one of them may decide otherwise.`;
    return [element("p", { class: "mistake" }, text)];
  }

  nearest(pid) {
    const { costs, interval } = this.page.costs;
    const row = costs?.rowOf.get(pid);
    if (row === undefined) return [];
    const best = costs.nearest(row, interval, 5);
    if (best.length === 0) return [];
    const items = best.map(({ name, value }) => element("li", {}, foreign(name), " ", costs.text(value)));
    return [
      element("h3", {}, `Nearest from here, by ${visible(costs.label)}`),
      element("ol", { class: "nearest" }, items),
      element("button", { type: "button", onclick: () => this.page.costs.reveal(pid) }, "Show its costs"),
    ];
  }

  properties(address) {
    const found = this.page.properties.flatMap((one) => one.of(address));
    if (found.length === 0) return [];
    const rows = found.map(([name, value, entity]) =>
      element("tr", {}, element("th", { scope: "row" }, foreign(name)), element("td", {}, foreign(shownValue(value))), element("td", {}, foreign(entity))),
    );
    const head = ["Property", "Value", "Defined for"].map((text) => element("th", { scope: "col" }, text));
    return [
      element("h3", {}, "Properties of this address"),
      element("div", { class: "scroll" }, element("table", {}, element("thead", {}, element("tr", {}, head)), element("tbody", {}, rows))),
    ];
  }
}

const shownValue = (value) => (typeof value === "string" ? value : JSON.stringify(value));
