// Which language the page speaks.

import { keep, kept } from "./dom.js";
import { STRINGS } from "./strings.js";

export const LANGUAGES = ["en", "ko"];
const followers = new Set();
let current = LANGUAGES.includes(kept("language")) ? kept("language") : usual();

function usual() {
  return (navigator.languages ?? []).some((name) => name.startsWith("ko")) ? "ko" : "en";
}

export const language = () => current;

/** The text of `key` in the page's language; {name} stands for `values.name`. A key that is missing shows itself. */
export function translated(key, values = {}) {
  const text = STRINGS[key]?.[current] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Calls `follow` whenever the language changes. */
export function onLanguage(follow) {
  followers.add(follow);
}

export function speakLanguage(name) {
  current = name;
  keep("language", name);
  translateDocument();
  for (const follow of followers) follow();
}

const ATTRIBUTES = { "data-t-label": "aria-label", "data-t-placeholder": "placeholder", "data-t-title": "title" };

/** Fills every element below `root` that names a key: data-t its text, data-t-label its label, and so on. */
export function translateDocument(root = document) {
  document.documentElement.lang = current;
  document.title = translated("title");
  for (const found of root.querySelectorAll("[data-t]")) found.textContent = translated(found.dataset.t);
  for (const [from, to] of Object.entries(ATTRIBUTES)) {
    for (const found of root.querySelectorAll(`[${from}]`))
      found.setAttribute(to, translated(found.getAttribute(from)));
  }
}
