// Scoreboard: what was measured of every model, as tables and as pictures of them.

import * as api from "../api.js";
import { byId, element } from "../dom.js";
import { language, onLanguage, translated } from "../language.js";
import { dotPlot } from "../plots.js";
import { STRINGS } from "../strings.js";
import { toldOf } from "../task.js";

const FIRST_MEASURE = 3; // after the model, the corpus and n
const HUMAN = "recordings"; // the row of human recordings
const CELL = /^(-?[\d.]+)(?: ?± ?([\d.]+))?(?: \((-?[\d.]+)\))?/;

export function openBoard() {
  const host = byId("board");
  const tasks = byId("board-tasks");
  let tables = null;
  let chosen = 0;
  const show = () => {
    byId("board-empty").hidden = tables === null || tables.length > 0;
    tasks.hidden = !tables || tables.length === 0;
    if (tasks.hidden) return;
    tasks.replaceChildren(legend(), ...tables.map((table, place) => choice(titleOf(table), place, place === chosen)));
    host.replaceChildren(section(tables[chosen]));
  };
  tasks.addEventListener("change", (event) => {
    chosen = Number(event.target.value);
    host.replaceChildren(section(tables[chosen]));
  });
  const load = async () => {
    if (tables || location.hash !== "#scoreboard") return;
    const problem = byId("board-problem");
    problem.hidden = true;
    try {
      ({ tables } = await api.scoreboard());
      show();
    } catch (error) {
      problem.textContent = toldOf(error);
      problem.hidden = false;
    }
  };
  window.addEventListener("hashchange", load);
  onLanguage(show);
  load();
}

const titleOf = (table) => (language() === "ko" && table.title_ko) || table.title;

const legend = () => element("legend", { class: "unseen" }, translated("board.task"));

function choice(title, place, checked) {
  const button = element("input", { type: "radio", name: "board-task", value: place, checked });
  return element("label", {}, button, element("span", {}, title));
}

function section(table) {
  const title = titleOf(table);
  const measures = table.header.slice(FIRST_MEASURE).map((name, n) => ({ name, at: FIRST_MEASURE + n }));
  const plots = measures.map((measure) => plot(table, measure)).filter(Boolean);
  return element(
    "section",
    { class: "card" },
    element("h2", {}, title),
    element("div", { class: "plots" }, ...plots),
    element("details", {}, element("summary", {}, translated("board.table")), figures(table, title)),
  );
}

/** value ± half of its interval (that of the recordings), as the table writes it, and the value's text; null for "-". */
export function readCell(text) {
  const found = CELL.exec(text);
  if (!found) return null;
  const [value, spread, people] = found.slice(1).map((part) => (part === undefined ? null : Number(part)));
  return { value, shown: found[1], spread: spread ?? 0, people };
}

/** The key of what is said of a measure, by the head of its column without the mark of recordings beside it. */
const helpOf = (name) => `measure.${name.replace(/ \([^)]*\)$/, "")}`;

/**
 * The rows that are drawn. Where recordings and baselines have rows of their own, a model's recordings become its
 * ring; baselines are drawn beside a model that is alone, and else are left to the table.
 */
function plotted(table) {
  const several = table.strong.length > 1;
  const differ = new Set(table.rows.map((row) => row[1])).size > 1; // figures of two corpora are told apart
  let people = null;
  const drawn = [];
  for (const [place, cells] of table.rows.entries()) {
    const strong = table.strong.length === 0 || table.strong.includes(place);
    if (cells[0] === HUMAN) people = cells;
    else if (strong || !several) drawn.push({ cells, label: cells[0], beside: differ ? cells[1] : "", strong, people });
  }
  return drawn;
}

function plot(table, { name, at }) {
  const rows = plotted(table)
    .map(({ people, ...row }) => {
      const found = readCell(row.cells[at]);
      return (
        found && { ...row, ...found, people: found.people ?? (people ? (readCell(people[at])?.value ?? null) : null) }
      );
    })
    .filter(Boolean);
  if (rows.length === 0) return null;
  const key = helpOf(name);
  const help = STRINGS[key] ? translated(key) : "";
  const heading = element(
    "figcaption",
    {},
    element("strong", {}, name.replace(/ \([^)]*\)$/, "")),
    " ",
    element("span", { class: "muted" }, help),
  );
  return element("figure", { class: "plot" }, heading, dotPlot(rows, `${name}. ${help}`));
}

function figures(table, title) {
  const head = element("tr", {}, ...table.header.map((name) => element("th", { scope: "col" }, name)));
  const rows = table.rows.map((row, place) =>
    element(
      "tr",
      { class: table.strong.includes(place) ? "strong" : null },
      element("th", { scope: "row" }, row[0]),
      ...row.slice(1).map((text) => element("td", {}, text)),
    ),
  );
  const made = element(
    "table",
    {},
    element("caption", { class: "unseen" }, title),
    element("thead", {}, head),
    element("tbody", {}, ...rows),
  );
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": title }, made);
}
