// Properties, deviations, and what could not be had.

const ENTITY_STEP = 200;
const FINDING_STEP = 50;

function drawProperties(maps) {
  byId("properties").hidden = maps.length === 0;
  const blocks = maps.map((map) => {
    const names = [...new Set(map.entities.flatMap(([, values]) => Object.keys(values)))];
    const body = element("tbody");
    const head = ["Entity", ...names].map((name, at) => element("th", { scope: "col" }, at === 0 ? name : foreign(name)));
    const row = (at) => {
      const [entity, values] = map.entities[at];
      const cells = names.map((name) => element("td", {}, name in values ? foreign(shownValue(values[name])) : ""));
      return element("tr", {}, element("th", { scope: "row" }, foreign(entity)), cells);
    };
    const more = element("div");
    let shown = 0;
    const grow = () => {
      const end = Math.min(map.entities.length, shown + ENTITY_STEP);
      for (; shown < end; shown++) body.append(row(shown));
      replace(more, shown >= map.entities.length ? [] : element("button", { type: "button", class: "more", onclick: grow },
        `Show more of ${count(map.entities.length, "entity", "entities")}`));
    };
    grow();
    const left = map.leftOut > 0 ? element("p", {}, element("strong", {}, `Left out of this page: ${count(map.leftOut, "entity", "entities")}.`)) : null;
    return [
      element("h3", {}, foreign(map.id), map.vtag === null ? null : element("small", {}, " version ", foreign(map.vtag.tag))),
      element("div", { class: "scroll" }, element("table", {}, element("thead", {}, element("tr", {}, head)), body)),
      more,
      left,
    ];
  });
  replace(byId("property-maps"), blocks.flat());
}

function drawFindings(tree) {
  const total = tree.findings.length + tree.findingsLeftOut;
  byId("deviations").hidden = total === 0 && tree.failures.length === 0;
  replace(byId("failures"), tree.failures.map((text) => element("p", { class: "mistake" }, "Not shown: ", foreign(text, "span"))));
  byId("finding-part").hidden = total === 0;
  const body = element("tbody");
  byId("finding-table").tBodies[0].replaceWith(body);
  const more = byId("finding-more");
  let shown = 0;
  const grow = () => {
    const end = Math.min(tree.findings.length, shown + FINDING_STEP);
    for (; shown < end; shown++) {
      const [level, path, text, rfc, section] = tree.findings[shown];
      body.append(element("tr", {},
        element("td", {}, element("span", { class: `badge ${level === "must" ? "bad" : ""}` }, level.toUpperCase())),
        element("td", {}, foreign(path === "" ? "(document)" : path)),
        element("td", {}, foreign(text, "span")),
        element("td", { class: "clause" }, `RFC ${rfc} section ${section}`)));
    }
    const isAll = shown >= tree.findings.length;
    replace(more, isAll ? [] : element("button", { type: "button", class: "more", onclick: grow }, `Show more of ${count(total, "deviation")}`));
    if (isAll && tree.findingsLeftOut > 0) more.append(`Left out of this page: ${count(tree.findingsLeftOut, "deviation")}.`);
  };
  grow();
}
