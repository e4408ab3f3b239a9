// Samples, as they come from the server or out of a file.

import { samplesOfPcm, waveChunks } from "./wave_file.js";

/** Mono samples that grow. `append` may be called while they are played. */
export class Sound {
  constructor(sampleRate) {
    this.sampleRate = sampleRate;
    this.length = 0;
    this.ended = false;
    this.store = new Float32Array(sampleRate * 8);
  }

  static of(samples, sampleRate) {
    const sound = new Sound(sampleRate);
    sound.append(samples);
    sound.ended = true;
    return sound;
  }

  append(samples) {
    if (this.length + samples.length > this.store.length) {
      const larger = new Float32Array(Math.max(2 * this.store.length, this.length + samples.length));
      larger.set(this.samples);
      this.store = larger;
    }
    this.store.set(samples, this.length);
    this.length += samples.length;
  }

  get samples() {
    return this.store.subarray(0, this.length);
  }

  get seconds() {
    return this.length / this.sampleRate;
  }
}

/** 16-bit little-endian PCM in base64 as samples from -1 to 1. */
export function samplesOfBase64(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return samplesOfPcm(bytes);
}

const OTHER_RATE = 44100; // what files whose rate the page does not read are decoded to
const RATES = [8000, 96000]; // what browsers decode to

/** A file of sound as mono samples, at its own rate where it is a wave file. Throws what the browser throws. */
export async function decoded(blob) {
  const buffer = await blob.arrayBuffer();
  const own = waveChunks(buffer)?.sampleRate ?? null;
  const rate = own !== null && own >= RATES[0] && own <= RATES[1] ? own : OTHER_RATE;
  const audio = await new OfflineAudioContext(1, 1, rate).decodeAudioData(buffer);
  const mono = Float32Array.from(audio.getChannelData(0));
  for (let channel = 1; channel < audio.numberOfChannels; channel++) {
    const samples = audio.getChannelData(channel);
    for (let n = 0; n < mono.length; n++) mono[n] += samples[n];
  }
  if (audio.numberOfChannels > 1) for (let n = 0; n < mono.length; n++) mono[n] /= audio.numberOfChannels;
  return Sound.of(mono, rate);
}
