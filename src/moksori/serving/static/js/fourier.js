// The spectrum of one frame of sound, and the scale that it is drawn on.

/** Magnitudes of real frames of `size` samples (a power of two), after a Hann window; a full-scale sine gives 1. */
export class Spectrum {
  constructor(size) {
    this.size = size;
    this.window = Float64Array.from({ length: size }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / size));
    this.cosines = Float64Array.from({ length: size / 2 }, (_, n) => Math.cos((2 * Math.PI * n) / size));
    this.sines = Float64Array.from({ length: size / 2 }, (_, n) => Math.sin((2 * Math.PI * n) / size));
    this.order = bitReversed(size);
    this.real = new Float64Array(size);
    this.imaginary = new Float64Array(size);
  }

  /** frame: `size` samples. Returns size / 2 + 1 magnitudes. */
  of(frame) {
    const { size, real, imaginary, order } = this;
    for (let n = 0; n < size; n++) {
      real[order[n]] = frame[n] * this.window[n];
      imaginary[n] = 0;
    }
    for (let width = 2; width <= size; width *= 2) this.#butterflies(width);
    const scale = 4 / size; // the window's mean is a half, and half of a sine lies at its negative frequency
    return Float32Array.from({ length: size / 2 + 1 }, (_, k) => scale * Math.hypot(real[k], imaginary[k]));
  }

  #butterflies(width) {
    const { size, real, imaginary, cosines, sines } = this;
    const half = width / 2;
    const step = size / width;
    for (let start = 0; start < size; start += width) {
      for (let k = 0; k < half; k++) {
        const a = start + k;
        const b = a + half;
        const c = cosines[k * step];
        const s = sines[k * step];
        const re = real[b] * c + imaginary[b] * s;
        const im = imaginary[b] * c - real[b] * s;
        real[b] = real[a] - re;
        imaginary[b] = imaginary[a] - im;
        real[a] += re;
        imaginary[a] += im;
      }
    }
  }
}

function bitReversed(size) {
  const bits = Math.log2(size);
  return Uint32Array.from({ length: size }, (_, n) => {
    let turned = 0;
    for (let bit = 0; bit < bits; bit++) turned |= ((n >> bit) & 1) << (bits - 1 - bit);
    return turned;
  });
}

const toMel = (hertz) => 2595 * Math.log10(1 + hertz / 700);
const fromMel = (mel) => 700 * (10 ** (mel / 2595) - 1);

/** Where `hertz` lies on the mel scale from 0 to `top` hertz: 0 to 1. */
export const melShare = (hertz, top) => toMel(hertz) / toMel(top);

/** For each of `rows` rows, from low to high: the first and the last bin that it shows. */
export function melRows(rows, top, sampleRate, size) {
  const bin = (hertz) => Math.min(size / 2, Math.round((hertz * size) / sampleRate));
  return Array.from({ length: rows }, (_, row) => {
    const low = bin(fromMel((toMel(top) * row) / rows));
    return [low, Math.max(low, bin(fromMel((toMel(top) * (row + 1)) / rows)) - 1)];
  });
}
