// Where a person gives a recording: by dropping a file, choosing one, or recording it.

import { catalogue } from "./catalogue.js";
import { clock, element, icon } from "./dom.js";
import { onLanguage, translated } from "./language.js";
import { Recording } from "./recorder.js";
import { decoded } from "./sound.js";
import { SoundView } from "./sound_view.js";

const MOST_DRAWN_BYTES = 40_000_000; // decoded it would fill the tab's memory
let count = 0;

/**
 * A field for files. labelKey: its name; accept: as <input> has it; records: whether the microphone is offered;
 * several: up to this many files. Event "change" when what is held changes; `files` and `sounds` (decoded, or null).
 */
export class Picker extends EventTarget {
  constructor(
    host,
    { labelKey, hintKey, accept = "audio/*,.opus,.flac,.ogg", records = true, several = 1, draws = true },
  ) {
    super();
    Object.assign(this, { host, labelKey, hintKey, several, draws, files: [], sounds: [], recording: null });
    const id = `picker-${(count += 1)}`;
    this.input = element("input", { type: "file", id, accept, multiple: several > 1, class: "hidden-input" });
    this.title = element("span", { class: "picker-title" });
    this.hint = element("span", { class: "picker-hint" });
    const mark = icon(records ? "wave" : "file");
    this.zone = element("label", { for: id, class: "zone" }, mark, this.title, this.hint);
    this.record = element("button", { type: "button", class: "record", onclick: () => this.#record() });
    this.meter = element("span", { class: "meter", hidden: true });
    this.problem = element("p", { class: "problem", role: "alert", hidden: true });
    this.list = element("ul", { class: "picked" });
    this.view = element("div", { hidden: true });
    host.classList.add("picker");
    host.replaceChildren(
      this.input,
      this.zone,
      ...(records ? [element("div", { class: "row" }, this.record, this.meter)] : []),
      this.problem,
      this.list,
      this.view,
    );
    this.input.addEventListener("change", () => this.take([...this.input.files]));
    for (const name of ["dragenter", "dragover"]) host.addEventListener(name, (event) => this.#over(event, true));
    for (const name of ["dragleave", "drop"]) host.addEventListener(name, (event) => this.#over(event, false));
    host.addEventListener("drop", (event) => this.take([...event.dataTransfer.files]));
    onLanguage(() => this.#tell());
    this.#tell();
  }

  get file() {
    return this.files[0] ?? null;
  }

  clear() {
    this.files = [];
    this.#changed();
  }

  /** files: what was chosen or dropped; where only one is wanted it takes the place of the last. */
  async take(files) {
    this.input.value = "";
    if (files.length === 0) return;
    const limit = catalogue.info?.limits.upload_bytes ?? Infinity;
    const tooLarge = files.find((file) => file.size > limit);
    this.#problem(
      tooLarge ? translated("picker.large", { name: tooLarge.name, megabytes: Math.round(limit / 2 ** 20) }) : "",
    );
    const taken = files.filter((file) => file.size <= limit);
    if (taken.length === 0) return;
    this.files = this.several > 1 ? [...this.files, ...taken].slice(0, this.several) : [taken[0]];
    await this.#changed();
  }

  async #changed() {
    const files = this.files;
    this.sounds = this.draws ? await Promise.all(files.map(soundOf)) : files.map(() => null);
    if (files !== this.files) return; // others were given meanwhile
    this.#tell();
    const only = this.several === 1 ? this.sounds[0] : null;
    this.view.hidden = !only;
    if (only) {
      this.sound ??= new SoundView(this.view, { compact: true });
      this.sound.show(only);
    } else this.sound?.player?.pause();
    this.dispatchEvent(new Event("change"));
  }

  async #record() {
    if (this.recording) {
      const { recording } = this;
      this.recording = null;
      this.#tell();
      const name = `${translated("picker.recording")}-${new Date().toISOString().slice(11, 19).replaceAll(":", "")}.wav`;
      try {
        await this.take([new File([await recording.stop()], name, { type: "audio/wav" })]);
      } catch {
        this.#problem(translated("picker.empty"));
      }
      return;
    }
    this.#problem("");
    try {
      this.recording = await Recording.start();
    } catch (error) {
      this.#problem(translated(error.name === "NotAllowedError" ? "picker.refused" : "picker.none"));
      return;
    }
    this.#tell();
    this.#measure();
  }

  #measure() {
    const { recording } = this;
    this.meter.hidden = !recording;
    if (!recording) return;
    this.meter.style.setProperty("--level", recording.level().toFixed(3));
    this.meter.textContent = clock(recording.seconds);
    const limit = catalogue.info?.limits.upload_seconds ?? Infinity;
    if (recording.seconds >= limit) this.#record();
    else requestAnimationFrame(() => this.#measure());
  }

  #over(event, inside) {
    event.preventDefault();
    this.zone.classList.toggle("over", inside);
  }

  #problem(text) {
    this.problem.textContent = text;
    this.problem.hidden = !text;
  }

  #tell() {
    this.title.textContent = translated(this.labelKey);
    this.hint.textContent = translated(this.hintKey ?? (this.several > 1 ? "picker.hints" : "picker.hint"));
    this.record.replaceChildren(
      icon(this.recording ? "stop" : "mic"),
      translated(this.recording ? "picker.stop" : "picker.record"),
    );
    this.record.classList.toggle("active", this.recording !== null);
    this.list.replaceChildren(...this.files.map((file, place) => this.#item(file, place)));
  }

  #item(file, place) {
    const seconds = this.sounds[place] ? ` · ${clock(this.sounds[place].seconds)}` : "";
    const remove = element(
      "button",
      {
        type: "button",
        class: "quiet small",
        "aria-label": translated("picker.remove", { name: file.name }),
        onclick: () => {
          this.files = this.files.filter((_, other) => other !== place);
          this.#changed();
        },
      },
      icon("close"),
    );
    return element("li", {}, element("span", {}, `${file.name}${seconds}`), remove);
  }
}

async function soundOf(file) {
  if (file.size > MOST_DRAWN_BYTES) return null;
  try {
    return await decoded(file);
  } catch {
    return null; // the browser cannot play it; perhaps the server can read it, or else it will say why not
  }
}
