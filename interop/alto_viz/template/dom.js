// Elements are made here and nowhere else, and text goes into them as text: nothing that a server said is ever markup.

const byId = (id) => document.getElementById(id);

/** An element with attributes ("class", "aria-…", on… as functions) and children, which are elements or text. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

const replace = (parent, ...children) => parent.replaceChildren(...children.flat().filter((child) => child !== null));

/** Text that a server chose: shown whole, in its own direction, with control characters made visible. */
const foreign = (text, kind = "code") => element(kind, { class: "foreign" }, visible(text));

const visible = (text) =>
  String(text).replace(
    /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 20 });
const count = (number, one, many = `${one}s`) => `${grouped.format(number)} ${number === 1 ? one : many}`;

/** Unix time as a person reads it, in UTC. */
function time(seconds) {
  const date = new Date(seconds * 1000);
  if (Number.isNaN(date.getTime())) return "an unknown time";
  return `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** Call `work` at most once a frame, however often it is wanted. */
function throttled(work) {
  let isDue = false;
  return () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      work();
    });
  };
}

/** A list that grows by `step` items whenever a button is pressed, so that a million of them can be behind it. */
function growing(parent, total, step, make, what) {
  let shown = 0;
  const more = element("button", { type: "button", class: "more", onclick: () => grow() });
  const grow = () => {
    const next = Math.min(total, shown + step);
    const made = [];
    for (; shown < next; shown++) made.push(make(shown));
    if (more.parentNode === null) parent.append(...made);
    else more.before(...made);
    if (shown >= total) more.remove();
    else {
      more.textContent = `Show ${grouped.format(Math.min(step, total - shown))} more of ${count(total, ...what)}`;
      if (more.parentNode === null) parent.append(more);
    }
  };
  grow();
}
