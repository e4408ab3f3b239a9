// The editor of pronunciations: words and how they are said, kept in this browser.

import { element, icon, keep, kept } from "./dom.js";
import { onLanguage, translated } from "./language.js";

/** A table of (word, sound) in `host`; `entries` are those with both. */
export class LexiconEditor {
  constructor(host) {
    this.rows = kept("lexicon", []);
    this.body = element("div", { class: "lexicon", role: "group" });
    this.add = element("button", { type: "button", class: "quiet small", onclick: () => this.#add() });
    host.append(this.body, this.add);
    onLanguage(() => this.#show());
    this.#show();
  }

  /** [[word, IPA or respelling]] as the server takes them. */
  get entries() {
    return this.rows.map((row) => row.map((text) => text.trim())).filter(([word, sound]) => word && sound);
  }

  #add() {
    this.rows.push(["", ""]);
    this.#show();
    this.body.lastElementChild.querySelector("input").focus();
  }

  #show() {
    this.add.replaceChildren(icon("plus"), translated("lexicon.add"));
    this.body.setAttribute("aria-label", translated("lexicon"));
    this.body.replaceChildren(...this.rows.map((row, place) => this.#row(row, place)));
  }

  #row(row, place) {
    const field = (n, label, example) =>
      element("input", {
        value: row[n],
        maxlength: 100,
        placeholder: translated(example),
        spellcheck: "false",
        autocapitalize: "off",
        "aria-label": `${translated(label)} ${place + 1}`,
        oninput: (event) => this.#edit(row, n, event.target.value),
      });
    const remove = element(
      "button",
      {
        type: "button",
        class: "quiet small",
        "aria-label": translated("lexicon.remove", { word: row[0] || place + 1 }),
        onclick: () => {
          this.rows.splice(place, 1);
          keep("lexicon", this.rows);
          this.#show();
        },
      },
      icon("close"),
    );
    return element(
      "div",
      { class: "row" },
      field(0, "lexicon.word", "lexicon.word.example"),
      field(1, "lexicon.sound", "lexicon.sound.example"),
      remove,
    );
  }

  #edit(row, n, text) {
    row[n] = text;
    keep("lexicon", this.rows);
  }
}
