// The choice of a format, and the button that saves a sound in it.

import { download, element, icon } from "./dom.js";
import { onLanguage, translated } from "./language.js";
import { catalogue, onCatalogue } from "./catalogue.js";

const SUFFIX = { opus: "ogg" };

/**
 * `offer(name, make)`: the button then saves what `make(format)` promises as NAME.format. It is the server that writes
 * every file, so that its metadata say that the sound is synthetic. fail: told of an error.
 */
export class Saver {
  constructor(fail) {
    this.format = element("select", { class: "small" });
    this.button = element("button", { type: "button", class: "quiet small", disabled: true });
    this.element = element("span", { class: "saver" }, this.format, this.button);
    this.button.addEventListener("click", () => this.#save(fail));
    onLanguage(() => this.#tell());
    onCatalogue(() => this.#fill());
    this.#tell();
    this.#fill();
  }

  offer(name, make) {
    this.offered = { name, make };
    this.button.disabled = false;
  }

  withdraw() {
    this.button.disabled = true;
  }

  async #save(fail) {
    const { name, make } = this.offered;
    this.button.disabled = true;
    try {
      const format = this.format.value;
      download(await make(format), `${name}.${SUFFIX[format] ?? format}`);
    } catch (error) {
      fail(error);
    } finally {
      this.button.disabled = false;
    }
  }

  #tell() {
    this.format.setAttribute("aria-label", translated("format"));
    this.button.replaceChildren(icon("down"), translated("save"));
  }

  #fill() {
    const formats = (catalogue.info?.formats ?? ["wav"]).filter((format) => format !== "pcm"); // pcm says nothing of itself
    formats.sort((a, b) => Number(b === "wav") - Number(a === "wav"));
    this.format.replaceChildren(...formats.map((format) => new Option(format, format)));
  }
}
