// A sound as one sees it: waveform over spectrogram, the words that are heard, and a player.

import { clock, drawing, element, icon } from "./dom.js";
import { melShare } from "./fourier.js";
import { translated, onLanguage } from "./language.js";
import { Picture, spectrogramImage } from "./picture.js";
import { Player } from "./player.js";

const WAVE_SHARE = 0.3; // of the picture's height
const STEP_SECONDS = 1;
const LABELLED_HERTZ = [500, 2000, 4000];

/**
 * Shows one sound after another in `host`. `show(sound)` begins with a sound that may be growing: tell it of new
 * samples by `grew()`, of words by `addWords`, and of the end by `ended()`. The picture is a slider: arrow keys move,
 * space plays.
 */
export class SoundView {
  constructor(host, { label = "picture.label", compact = false, actions = [] } = {}) {
    this.labelKey = label;
    this.canvas = element("canvas");
    this.needle = element("div", { class: "needle" });
    this.scale = element("div", { class: "hertz", "aria-hidden": "true" });
    this.stage = element(
      "div",
      { class: "stage", role: "slider", tabindex: "0", "aria-valuemin": "0" },
      this.canvas,
      this.scale,
      this.needle,
    );
    this.button = element("button", { class: "play", type: "button", onclick: () => this.player?.toggle() });
    this.time = element("span", { class: "time" });
    this.line = element("p", { class: "words", hidden: true });
    const bar = element(
      "div",
      { class: "bar" },
      this.button,
      this.time,
      element("span", { class: "space" }),
      ...actions,
    );
    this.host = host;
    host.classList.add("sound");
    host.classList.toggle("compact", compact);
    host.replaceChildren(this.stage, this.line, bar);
    this.stage.addEventListener("keydown", (event) => this.#key(event));
    this.stage.addEventListener("pointerdown", (event) => this.#pointer(event));
    this.stage.addEventListener("pointermove", (event) => event.buttons === 1 && this.#pointer(event));
    new ResizeObserver(() => this.#draw()).observe(this.stage);
    onLanguage(() => this.#update());
    this.words = [];
    this.#update();
  }

  /** expectedSeconds: how long it will be, so that the picture fills up instead of shrinking; 0 where nobody knows. */
  show(sound, expectedSeconds = 0) {
    this.player?.pause();
    this.sound = sound;
    this.expected = expectedSeconds;
    this.words = [];
    this.line.replaceChildren();
    this.line.hidden = true;
    this.picture = new Picture(sound.sampleRate);
    this.drawn = 0;
    this.player = new Player(sound);
    this.player.addEventListener("state", () => this.#state());
    this.player.addEventListener("position", () => this.#update());
    this.host.hidden = false;
    this.grew();
    if (sound.ended) this.ended();
    return this.player;
  }

  /** Draws the samples that came since. */
  grew() {
    this.picture.append(this.sound.samples.subarray(this.drawn));
    this.drawn = this.sound.length;
    this.#soon();
  }

  ended() {
    this.picture.end();
    this.#soon();
  }

  /** words: [{text, start_seconds, end_seconds}], later than those that are there. */
  addWords(words) {
    for (const word of words) {
      const shown = element("button", { type: "button", class: "word", onclick: () => this.#from(word) }, word.text);
      this.words.push({ ...word, shown });
      this.line.append(shown, " ");
    }
    this.line.hidden = this.words.length === 0;
    this.#soon();
  }

  #from(word) {
    this.player.seek(word.start_seconds);
    this.player.play();
  }

  get #width() {
    // While it grows the picture is as wide as what is expected, then as what there is.
    const seconds = this.sound?.seconds ?? 0;
    return this.sound?.ended ? seconds : Math.max(this.expected, seconds * 1.05, 1);
  }

  #key(event) {
    if (!this.player) return;
    const place = this.player.position;
    const moves = {
      ArrowLeft: place - STEP_SECONDS,
      ArrowDown: place - STEP_SECONDS,
      ArrowRight: place + STEP_SECONDS,
      ArrowUp: place + STEP_SECONDS,
      Home: 0,
      End: this.sound.seconds,
    };
    if (event.key === " " || event.key === "Enter") this.player.toggle();
    else if (event.key in moves) this.player.seek(moves[event.key]);
    else return;
    event.preventDefault();
  }

  #pointer(event) {
    if (!this.player) return;
    const box = this.stage.getBoundingClientRect();
    this.player.seek(((event.clientX - box.left) / box.width) * this.#width);
  }

  #state() {
    if (this.player.playing) this.#follow();
    this.#update();
  }

  #follow() {
    requestAnimationFrame(() => {
      this.#update();
      if (this.player.playing) this.#follow();
    });
  }

  #soon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.#draw();
      this.#update();
    });
  }

  #update() {
    const playing = this.player?.playing ?? false;
    const place = this.player?.position ?? 0;
    const seconds = this.sound?.seconds ?? 0;
    if (this.button.dataset.playing !== String(playing)) {
      this.button.dataset.playing = playing;
      this.button.replaceChildren(icon(playing ? "pause" : "play"));
    }
    this.button.disabled = !this.player;
    this.button.setAttribute("aria-label", translated(playing ? "pause" : "play"));
    this.time.textContent = `${clock(place)} / ${clock(seconds)}`;
    this.stage.setAttribute("aria-label", translated(this.labelKey));
    this.stage.setAttribute("aria-valuemax", seconds.toFixed(1));
    this.stage.setAttribute("aria-valuenow", place.toFixed(1));
    this.stage.setAttribute(
      "aria-valuetext",
      translated("picture.at", { at: place.toFixed(1), of: seconds.toFixed(1) }),
    );
    this.needle.style.left = `${(100 * place) / Math.max(this.#width, 1e-3)}%`;
    for (const word of this.words) {
      word.shown.classList.toggle("heard", place > 0 && place >= word.start_seconds && place < word.end_seconds);
    }
  }

  #draw() {
    if (!this.picture || this.stage.clientWidth === 0) return;
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [this.stage.clientWidth * ratio, this.stage.clientHeight * ratio].map(Math.round);
    Object.assign(this.canvas, { width, height });
    const pen = this.canvas.getContext("2d");
    const top = Math.round(height * WAVE_SHARE);
    const image = spectrogramImage(this.picture);
    const filled = (this.picture.columns * this.picture.hop) / this.sound.sampleRate / this.#width;
    const end = Math.min(1, filled) * width;
    if (image) {
      const small = new OffscreenCanvas(image.width, image.height);
      small.getContext("2d").putImageData(image, 0, 0);
      pen.drawImage(small, 0, top, end, height - top);
      this.#wave(pen, end, top, ratio);
    }
    this.#edges(pen, width, height, ratio);
    this.#hertz(top / ratio, height / ratio);
  }

  #wave(pen, width, height, ratio) {
    const { columns, low, high } = this.picture;
    let loudest = 0.05; // silence stays flat
    for (let n = 0; n < columns; n++) loudest = Math.max(loudest, high[n], -low[n]);
    const middle = height / 2;
    const reach = (0.86 * middle) / loudest;
    pen.beginPath();
    for (let n = 0; n < columns; n++) pen.lineTo((n * width) / columns, middle - high[n] * reach - ratio / 2);
    for (let n = columns - 1; n >= 0; n--) pen.lineTo((n * width) / columns, middle - low[n] * reach + ratio / 2);
    pen.closePath();
    pen.fillStyle = "#ff9b7d";
    pen.fill();
  }

  #edges(pen, width, height, ratio) {
    pen.fillStyle = "rgba(255, 255, 255, 0.32)";
    for (const word of this.words) {
      for (const edge of [word.start_seconds, word.end_seconds]) {
        pen.fillRect(Math.round((edge / this.#width) * width), 0, ratio, height);
      }
    }
  }

  #hertz(top, height) {
    const labels = LABELLED_HERTZ.filter((hertz) => hertz < this.picture.top).map((hertz) => {
      const label = element("span", {}, hertz < 1000 ? `${hertz} Hz` : `${hertz / 1000} kHz`);
      label.style.top = `${height - melShare(hertz, this.picture.top) * (height - top)}px`;
      return label;
    });
    this.scale.replaceChildren(...labels);
  }
}

/** A bar that moves while something is made. */
export function waitingWave() {
  const bars = Array.from({ length: 5 }, (_, n) =>
    drawing("rect", { x: 2 + 5 * n, y: 4, width: 2.6, height: 16, rx: 1.3 }),
  );
  return drawing("svg", { class: "making", viewBox: "0 0 26 24", "aria-hidden": "true" }, ...bars);
}
