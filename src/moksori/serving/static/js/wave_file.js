// RIFF wave files: read as far as the page needs it, made, and given their lengths once they are whole.

const RIFF = 0x52494646;
const WAVE = 0x57415645;
const FORMAT = 0x666d7420;
const DATA = 0x64617461;
const LONGEST_HEAD = 65536;
const UNKNOWN = 0xffffffff; // the length in a file that was sent while it was made

/** {sampleRate, data: where the samples begin, size: their bytes as the header says}; null for what is no wave file. */
export function waveChunks(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < 12 || view.getUint32(0) !== RIFF || view.getUint32(8) !== WAVE) return null;
  let sampleRate = null;
  for (let at = 12; at + 8 <= buffer.byteLength;) {
    const [name, size] = [view.getUint32(at), view.getUint32(at + 4, true)];
    if (name === FORMAT && at + 16 <= buffer.byteLength) sampleRate = view.getUint32(at + 12, true);
    if (name === DATA) return sampleRate === null ? null : { sampleRate, data: at + 8, size };
    at += 8 + size + (size & 1);
  }
  return null;
}

/** Reads a wave file of 16 bits, one channel, as it comes; `sampleRate` is null until the head is there. */
export class WaveReader {
  sampleRate = null;
  #held = new Uint8Array(0);

  /** bytes: the next of the file. Returns the samples that they hold. Throws an Error for what is no wave file. */
  push(bytes) {
    let joined = new Uint8Array(this.#held.length + bytes.length);
    joined.set(this.#held);
    joined.set(bytes, this.#held.length);
    if (this.sampleRate === null) {
      const found = waveChunks(joined.buffer);
      if (!found && joined.length > LONGEST_HEAD) throw new Error("no wave file came");
      if (!found) {
        this.#held = joined;
        return new Float32Array(0);
      }
      this.sampleRate = found.sampleRate;
      joined = joined.subarray(found.data);
    }
    const whole = joined.length & ~1;
    this.#held = joined.slice(whole); // half a sample
    return samplesOfPcm(joined.subarray(0, whole));
  }
}

/** 16-bit little-endian PCM as samples from -1 to 1; an odd last byte is left out. */
export function samplesOfPcm(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Float32Array.from({ length: bytes.byteLength >> 1 }, (_, n) => view.getInt16(2 * n, true) / 32768);
}

/** The same file; if it is a wave file that does not know its own length, with the length. */
export async function mended(blob) {
  const header = await blob.slice(0, LONGEST_HEAD).arrayBuffer();
  const found = waveChunks(header);
  if (!found || found.size !== UNKNOWN) return blob;
  const view = new DataView(header);
  view.setUint32(4, blob.size - 8, true);
  view.setUint32(found.data - 4, blob.size - found.data, true);
  return new Blob([header, blob.slice(header.byteLength)], { type: blob.type });
}

/** A sound as a wave file: 16 bits, mono. */
export function waveFile(sound) {
  const { samples, sampleRate } = sound;
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  view.setUint32(0, RIFF);
  view.setUint32(4, 36 + 2 * samples.length, true);
  view.setUint32(8, WAVE);
  view.setUint32(12, FORMAT);
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, 2 * sampleRate, true); // bytes a second
  view.setUint16(32, 2, true); // bytes a frame
  view.setUint16(34, 16, true); // bits
  view.setUint32(36, DATA);
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, n) => view.setInt16(44 + 2 * n, Math.max(-1, Math.min(1, value)) * 32767, true));
  return new Blob([view], { type: "audio/wav" });
}
