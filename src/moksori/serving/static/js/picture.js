// What is drawn of a sound: peaks and spectra in columns, made as the samples come, in bounded memory.

import { Spectrum, melRows } from "./fourier.js";

export const ROWS = 112;
export const TOP_HERTZ = 8000;
const MOST_COLUMNS = 1800;
const FINEST_SECONDS = 0.005;
const WINDOW_SECONDS = 0.032;
const FLOOR_DB = -120;

/**
 * Columns of a sound. Where there would be more than MOST_COLUMNS, neighbours become one and every further column is
 * twice as long: a picture of an hour costs what one of ten seconds does.
 */
export class Picture {
  constructor(sampleRate) {
    this.sampleRate = sampleRate;
    this.hop = Math.max(1, Math.round(FINEST_SECONDS * sampleRate));
    const size = 2 ** Math.ceil(Math.log2(WINDOW_SECONDS * sampleRate));
    this.spectrum = new Spectrum(size);
    this.top = Math.min(TOP_HERTZ, sampleRate / 2);
    this.rows = melRows(ROWS, this.top, sampleRate, size);
    this.columns = 0;
    this.low = new Float32Array(MOST_COLUMNS);
    this.high = new Float32Array(MOST_COLUMNS);
    this.decibels = new Float32Array(MOST_COLUMNS * ROWS); // column after column
    this.loudest = FLOOR_DB;
    this.length = 0; // samples that came
    this.held = new Float32Array(0); // those of them from the next column on
  }

  get seconds() {
    return this.length / this.sampleRate;
  }

  /** Takes the next samples in. */
  append(samples) {
    this.length += samples.length;
    const joined = new Float32Array(this.held.length + samples.length);
    joined.set(this.held);
    joined.set(samples, this.held.length);
    let at = 0;
    const needed = () => Math.max(this.hop, this.spectrum.size);
    while (joined.length - at >= needed()) {
      this.#column(joined, at);
      at += this.hop;
    }
    this.held = joined.slice(at);
  }

  /** Draws what was held back for want of further samples. */
  end() {
    const rest = this.held;
    const padded = new Float32Array(rest.length + this.spectrum.size + this.hop);
    padded.set(rest);
    for (let at = 0; at < rest.length; at += this.hop) this.#column(padded, at);
    this.held = new Float32Array(0);
  }

  #column(samples, at) {
    if (this.columns === MOST_COLUMNS) this.#halve();
    const column = this.columns++;
    let low = 0;
    let high = 0;
    for (let n = at; n < at + this.hop; n++) {
      if (samples[n] < low) low = samples[n];
      if (samples[n] > high) high = samples[n];
    }
    this.low[column] = low;
    this.high[column] = high;
    const magnitudes = this.spectrum.of(samples.subarray(at, at + this.spectrum.size));
    for (let row = 0; row < ROWS; row++) {
      const [first, last] = this.rows[row];
      let loudest = 0;
      for (let bin = first; bin <= last; bin++) loudest = Math.max(loudest, magnitudes[bin]);
      const level = Math.max(FLOOR_DB, 20 * Math.log10(loudest + 1e-9));
      this.decibels[column * ROWS + row] = level;
      if (level > this.loudest) this.loudest = level;
    }
  }

  #halve() {
    for (let column = 0; column < MOST_COLUMNS / 2; column++) {
      const [a, b] = [2 * column, 2 * column + 1];
      this.low[column] = Math.min(this.low[a], this.low[b]);
      this.high[column] = Math.max(this.high[a], this.high[b]);
      for (let row = 0; row < ROWS; row++) {
        this.decibels[column * ROWS + row] = Math.max(this.decibels[a * ROWS + row], this.decibels[b * ROWS + row]);
      }
    }
    this.columns = MOST_COLUMNS / 2;
    this.hop *= 2;
  }
}

const RANGE_DB = 72;
// Anchors of matplotlib's "magma", which the pictures of `moksori say --picture` and the reports use.
const MAGMA = [
  [0, 0, 4],
  [20, 14, 54],
  [59, 15, 112],
  [100, 26, 128],
  [140, 41, 129],
  [183, 55, 121],
  [222, 73, 104],
  [247, 112, 92],
  [254, 159, 109],
  [254, 207, 146],
  [252, 253, 191],
];
const COLOURS = Uint8ClampedArray.from({ length: 256 * 3 }, (_, n) => {
  const place = (Math.floor(n / 3) / 255) * (MAGMA.length - 1);
  const from = Math.min(MAGMA.length - 2, Math.floor(place));
  return MAGMA[from][n % 3] + (MAGMA[from + 1][n % 3] - MAGMA[from][n % 3]) * (place - from);
});

/** The spectrogram as an image of one pixel a column and row, low frequencies at the bottom; null without columns. */
export function spectrogramImage(picture) {
  if (picture.columns === 0) return null;
  const image = new ImageData(picture.columns, ROWS);
  const bottom = picture.loudest - RANGE_DB;
  for (let column = 0; column < picture.columns; column++) {
    for (let row = 0; row < ROWS; row++) {
      const share = (picture.decibels[column * ROWS + row] - bottom) / RANGE_DB;
      const colour = 3 * Math.round(255 * Math.min(1, Math.max(0, share)));
      const pixel = 4 * ((ROWS - 1 - row) * picture.columns + column);
      image.data.set(COLOURS.subarray(colour, colour + 3), pixel);
      image.data[pixel + 3] = 255;
    }
  }
  return image;
}
