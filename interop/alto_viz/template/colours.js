// From a cost to a colour: what is better is nearer to the page's own colour, what is worse stands out.

const PALETTES = {
  light: ["#eef7f6", "#c9e6e6", "#97cdd6", "#5fadc4", "#3388ae", "#1f6391", "#173f6b"],
  dark: ["#12303a", "#15495a", "#19667a", "#258798", "#4ba9ac", "#8ccbbd", "#dcefd6"],
};
const STEPS = 256;

const isDark = () => {
  const { theme } = document.documentElement.dataset;
  return theme === undefined ? matchMedia("(prefers-color-scheme: dark)").matches : theme === "dark";
};

const channels = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));

/** The palette of the theme in STEPS steps: `[r, g, b]` each. */
function ramp() {
  const stops = PALETTES[isDark() ? "dark" : "light"].map(channels);
  return Array.from({ length: STEPS }, (_, step) => {
    const place = (step / (STEPS - 1)) * (stops.length - 1);
    const at = Math.min(stops.length - 2, Math.floor(place));
    return stops[at].map((low, channel) => Math.round(low + (stops[at + 1][channel] - low) * (place - at)));
  });
}

/** A function from a cost to a step of the ramp; `scale` is "linear" or "rank". */
function stepper(costs, scale) {
  const { values, minimum, maximum } = costs.summary();
  const last = STEPS - 1;
  let step;
  if (scale === "rank") {
    const steps = Math.max(1, values.length - 1);
    step = (value) => Math.round((costs.place(value) / steps) * last);
  } else {
    const span = maximum - minimum || 1;
    step = (value) => Math.round(((value - minimum) / span) * last);
  }
  return costs.prefersHigher ? (value) => last - step(value) : step;
}

/** Whether text upon that colour is to be dark. */
const wantsDarkText = ([red, green, blue]) => 0.299 * red + 0.587 * green + 0.114 * blue > 140;

const css = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;
