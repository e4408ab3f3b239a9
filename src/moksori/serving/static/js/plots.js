// Plots of figures with their intervals, as drawings that take the page's colours.

import { drawing } from "./dom.js";

const WIDTH = 400;
const LEFT = 176; // for names
const RIGHT = 58; // for values
const ROW = 24;
const LONGEST_NAME = 28; // with the corpus behind it

/**
 * A dot a row at its value, a line over its interval, and a ring where human recordings lie.
 * rows: [{label, beside, value, shown, spread, people, strong}], beside: what is said behind the name; title: what is read out.
 */
export function dotPlot(rows, title) {
  const height = rows.length * ROW + 8;
  const { low, high } = extent(rows);
  const x = (value) => LEFT + ((value - low) / (high - low || 1)) * (WIDTH - LEFT - RIGHT);
  const told = `${title}: ${rows.map(({ label, beside, shown }) => `${label} ${beside} ${shown}`).join(", ")}`;
  const parts = rows.flatMap((row, place) => {
    const y = 4 + ROW * (place + 0.5);
    const kind = row.strong ? "own" : "beside";
    const marks = [
      drawing("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y, y2: y }),
      named(row, y, kind),
      drawing("line", {
        class: `range ${kind}`,
        x1: x(row.value - row.spread),
        x2: x(row.value + row.spread),
        y1: y,
        y2: y,
      }),
      drawing("circle", { class: `dot ${kind}`, cx: x(row.value), cy: y, r: 5 }),
      text(row.shown, { x: WIDTH - RIGHT + 12, y, class: `value ${kind}` }),
    ];
    if (row.people !== null) marks.push(drawing("circle", { class: "people", cx: x(row.people), cy: y, r: 4.5 }));
    return marks;
  });
  return drawing("svg", { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": told }, ...parts);
}

function extent(rows) {
  const values = rows.flatMap(({ value, spread, people }) => [
    value - spread,
    value + spread,
    ...(people === null ? [] : [people]),
  ]);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const margin = 0.06 * (high - low || Math.abs(high) || 1);
  return { low: low - margin, high: high + margin };
}

function text(content, attributes) {
  return drawing("text", { "dominant-baseline": "central", ...attributes }, content);
}

function named({ label, beside }, y, kind) {
  const name = shortened(label, LONGEST_NAME);
  const room = LONGEST_NAME - name.length - 1;
  const corpus = drawing("tspan", { class: "corpus" }, beside && room > 3 ? ` ${shortened(beside, room)}` : "");
  const made = text(name, { x: LEFT - 10, y, class: `name ${kind}`, "text-anchor": "end" });
  made.append(corpus);
  return made;
}

const shortened = (name, longest) => (name.length > longest ? `${name.slice(0, longest - 1)}…` : name);
