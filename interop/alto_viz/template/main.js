// The page as a whole.

class Page {
  constructor() {
    this.properties = [];
    this.costs = new CostPart();
    this.pids = new Pids();
    this.lookup = new Lookup(this);
    byId("map-choice").addEventListener("change", () => this.chooseMap(Number(byId("map-choice").value)));
    byId("theme").addEventListener("click", () => this.turnTheme());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolour());
  }

  /** Show data, which are the text of what snapshot.py makes. */
  async load(text) {
    if (text === this.text) return;
    const tree = JSON.parse(text);
    const [maps, costs] = [await Promise.all(tree.maps.map(NetworkMap.read)), await Promise.all(tree.costs.map(Costs.read))];
    const isFirst = this.text === undefined;
    this.text = text;
    this.live = tree.live;
    const chosen = this.map?.id;
    this.maps = maps;
    this.allCosts = costs;
    this.properties = tree.properties.map((one) => new PropertyMap(one));
    const source = visible(tree.source || new URL(".", location.href).href);
    byId("source").textContent = source;
    document.title = `ALTO: ${source}`;
    byId("made").textContent = time(tree.made);
    byId("made").dateTime = new Date(tree.made * 1000).toISOString();
    replace(byId("map-choice"), maps.map((map, at) => element("option", { value: at }, visible(map.id))));
    byId("map-choice-part").hidden = maps.length < 2;
    this.chooseMap(Math.max(0, maps.findIndex((map) => map.id === chosen)));
    drawProperties(this.properties);
    drawFindings(tree);
    this.facts(tree);
    if (!isFirst) {
      byId("updated").textContent = `Updated at ${time(Date.now() / 1000)}.`;
    }
  }

  chooseMap(at) {
    const map = this.maps[at];
    this.map = map;
    byId("map-choice").value = at;
    byId("pids").hidden = map === undefined;
    byId("lookup").hidden = map === undefined && this.properties.length === 0;
    byId("map-facts").hidden = map === undefined;
    if (map !== undefined) {
      replace(byId("map-id"), foreign(map.id));
      replace(byId("map-tag"), map.vtag === null ? "none" : foreign(map.vtag.tag));
      const kinds = map.otherTypes.map((kind) => foreign(kind)).flatMap((one) => [one, " "]);
      replace(byId("other-types"), kinds.length === 0 ? [] : ["Address types that play no part in lookups: ", ...kinds]);
      this.pids.load(map);
    }
    const fitting = this.allCosts.filter((one) => one.map === null || map === undefined || one.map === map.id);
    this.costs.load(fitting.length > 0 || this.maps.length > 1 ? fitting : this.allCosts);
    byId("stale").hidden = !fitting.some((one) => isStale(one, map));
    this.lookup.answer(false);
  }

  facts(tree) {
    const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
    const facts = [
      ["PIDs", sum(this.maps.map((map) => map.pids.length))],
      ["IPv4 prefixes", sum(this.maps.map((map) => map.prefixCount(4)))],
      ["IPv6 prefixes", sum(this.maps.map((map) => map.prefixCount(6)))],
      ["cost types", this.allCosts.length],
      ["deviations", tree.findings.length + tree.findingsLeftOut],
    ];
    replace(byId("facts"), facts.map(([name, number]) =>
      element("div", { class: name === "deviations" && number > 0 ? "fact bad" : "fact" }, element("dd", {}, grouped.format(number)), element("dt", {}, name))));
    const left = sum(this.maps.map((map) => map.leftOut));
    byId("left-out").hidden = left === 0;
    byId("left-out").textContent = `Left out of this page: ${count(left, "prefix", "prefixes")}, the longest ones of the network map.`;
  }

  turnTheme() {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    this.recolour();
  }

  recolour() {
    if (this.costs.costs !== undefined) this.costs.draw();
  }
}

/** Whether costs are of another version of the network map than the one that is shown. */
function isStale(costs, map) {
  const named = costs.vtags.find((vtag) => vtag?.id === map?.id);
  return named !== undefined && map.vtag !== null && named.tag !== map.vtag.tag;
}

async function start() {
  if (typeof DecompressionStream === "undefined") throw new Error("This page needs a browser of 2023 or later.");
  const page = new Page();
  await page.load(byId("data").textContent);
  byId("loading").hidden = true;
  document.documentElement.dataset.ready = "";
  if (page.live !== null) new LiveUpdates(page);
  // For the browser's console: alto.locate("192.0.2.1") is the PID and all prefixes around it.
  window.alto = {
    locate(text) {
      const address = parseAddress(text);
      if (address === null) return null;
      const chain = page.map?.locate(address) ?? [];
      return { address: formatAddress(address.family, address.words), pid: chain.at(-1)?.pid ?? null, chain };
    },
    properties(text) {
      const address = parseAddress(text);
      return address === null ? null : page.properties.map((one) => one.of(address));
    },
  };
}

start().catch((error) => {
  byId("loading").hidden = true;
  byId("trouble").hidden = false;
  byId("trouble").textContent = `This page cannot be shown: ${error.message}`;
});
