// Two sounds under each other, and a switch between them at the same place: what went in, and what was made of it.

import * as api from "./api.js";
import { element } from "./dom.js";
import { onLanguage, translated } from "./language.js";
import { Saver } from "./saver.js";
import { Sound } from "./sound.js";
import { SoundView } from "./sound_view.js";

/** Shows a pair in `host`, the first of which may be missing. Keys A and B listen to the one or the other. */
export class PairView {
  constructor(host, name, fail) {
    this.host = host;
    this.name = name;
    this.saver = new Saver(fail);
    const places = [element("div"), element("div")];
    this.views = [
      new SoundView(places[0], { label: "pair.before.picture" }),
      new SoundView(places[1], { label: "pair.after.picture", actions: [this.saver.element] }),
    ];
    this.titles = [element("h3"), element("h3")];
    this.buttons = ["A", "B"].map((letter, place) =>
      element("button", { type: "button", "aria-keyshortcuts": letter, onclick: () => this.listen(place) }),
    );
    this.choice = element("div", { class: "switch", role: "group" }, ...this.buttons);
    this.first = element("div", {}, this.titles[0], places[0]);
    host.replaceChildren(this.choice, this.first, element("div", {}, this.titles[1], places[1]));
    document.addEventListener("keydown", (event) => this.#key(event));
    onLanguage(() => this.#tell());
    this.#tell();
  }

  /** Asks the server for a sound, shows and plays it below `before` while it comes; gives what the server told. */
  async make(path, form, before, signal) {
    this.saver.withdraw();
    form.set("response_format", "wav");
    let after = null;
    const grow = (sampleRate, samples) => {
      after ??= this.#begin(new Sound(sampleRate), before);
      after.append(samples);
      this.views[1].grew();
    };
    try {
      const made = await api.sound(path, form, signal, grow);
      form.set("seed", made.seed);
      this.saver.offer(`${this.name}-${made.seed}`, async (format) => {
        if (format === "wav") return made.blob;
        form.set("response_format", format);
        return (await api.sound(path, form)).blob;
      });
      return made;
    } finally {
      if (after) {
        after.ended = true;
        this.views[1].ended();
      }
      if (signal.aborted) this.views[1].player?.pause();
    }
  }

  #begin(after, before) {
    this.host.hidden = false;
    this.first.hidden = this.choice.hidden = this.titles[1].hidden = !before;
    if (before) this.views[0].show(before);
    this.views[1].show(after, before?.seconds ?? 0);
    this.listen(1);
    return after;
  }

  /** Plays one of the two from where the other is. */
  listen(place) {
    const [player, other] = [this.views[place].player, this.views[1 - place].player];
    if (!player) return;
    if (other?.playing) {
      other.pause();
      player.seek(other.position); // both are equally long
    }
    player.play();
    for (const [n, button] of this.buttons.entries()) button.setAttribute("aria-pressed", String(n === place));
  }

  #key(event) {
    const place = ["a", "b"].indexOf(event.key.toLowerCase());
    const typing = event.target.closest("input, textarea, select") || event.ctrlKey || event.metaKey || event.altKey;
    if (place < 0 || typing || this.choice.hidden || this.host.hidden || this.host.closest("[hidden]")) return;
    this.listen(place);
  }

  #tell() {
    this.choice.setAttribute("aria-label", translated("pair.switch"));
    for (const [place, key] of ["pair.before", "pair.after"].entries()) {
      this.titles[place].textContent = translated(key);
      this.buttons[place].textContent = `${"AB"[place]} · ${translated(key)}`;
    }
  }
}
