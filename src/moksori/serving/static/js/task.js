// One thing that is being made at a time: its button, its stop button, what is told of it.

import { ApiError } from "./api.js";
import { catalogue } from "./catalogue.js";
import { element } from "./dom.js";
import { onLanguage, translated } from "./language.js";
import { waitingWave } from "./sound_view.js";

/**
 * Ties a form to `work(signal, tell)`, which runs when the form is sent, and again only when it is through. The form has
 * a submit button; the task adds a stop button behind it, and a line of status and one of errors at the end of `told`.
 */
export class Task {
  constructor(form, told, work) {
    this.form = form;
    this.submit = form.querySelector("[type=submit]");
    this.stop = element("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.cancel() });
    this.submit.after(this.stop);
    this.status = element("p", { class: "status", role: "status" });
    this.problem = element("p", { class: "problem", role: "alert", hidden: true });
    this.notes = element("ul", { class: "notes", hidden: true });
    told.append(this.problem, this.status, this.notes);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.run(work);
    });
    onLanguage(() => {
      if (this.error) this.fail(this.error);
      else if (this.told) this.tell(...this.told);
    });
  }

  async run(work) {
    if (this.control) return;
    this.control = new AbortController();
    this.#busy(true);
    this.clear();
    try {
      if (!catalogue.info) throw new ApiError("", { code: "unreachable" });
      await work(this.control.signal, (key, values) => this.tell(key, values));
    } catch (error) {
      if (error.name === "AbortError") this.tell("stopped");
      else this.fail(error);
    } finally {
      this.control = null;
      this.#busy(false);
    }
  }

  cancel() {
    this.control?.abort();
  }

  clear() {
    this.error = this.told = null;
    this.problem.hidden = true;
    this.status.replaceChildren();
    this.note([]);
  }

  /** Says how it goes; a key ending in "ing" shows the moving wave before it. */
  tell(key, values) {
    this.told = [key, values];
    const moving = key.endsWith("ing") ? [waitingWave()] : [];
    this.status.replaceChildren(...moving, translated(key, values));
  }

  /** What the server wants a person to know. */
  note(notes) {
    this.notes.replaceChildren(...notes.map((note) => element("li", {}, note)));
    this.notes.hidden = notes.length === 0;
  }

  #busy(busy) {
    this.form.setAttribute("aria-busy", String(busy));
    this.submit.disabled = busy;
    this.stop.hidden = !busy;
    this.stop.textContent = translated("stop");
  }

  /** Tells of an error until the next run. */
  fail(error) {
    this.error = error;
    this.told = null;
    this.status.replaceChildren();
    this.problem.textContent = toldOf(error);
    this.problem.hidden = false;
  }
}

const TEXTS = {
  unreachable: "error.unreachable",
  busy: "error.busy",
  broken: "error.broken",
  unsupported: "error.unsupported",
};

/** A failure in the page's language, and what the server says of it as it says it. */
export function toldOf(error) {
  const key = error.key ?? TEXTS[error.code];
  const said = { message: error.message, seconds: error.retryAfter ?? 1, ...error.values };
  if (key) return translated(key, said);
  if (error.status === 401) return translated("error.key");
  return translated("error.server", said);
}

/** An error that the page itself finds, told before anything is sent. */
export class PageError extends Error {
  constructor(key, values = {}) {
    super(key);
    Object.assign(this, { key, values });
  }
}
