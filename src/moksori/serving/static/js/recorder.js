// Records from the microphone, as a wave file that any server reads.

import { decoded } from "./sound.js";
import { waveFile } from "./wave_file.js";

/** A recording that runs. `level()` is 0 to 1; `stop()` gives the file, `cancel()` gives nothing. */
export class Recording {
  /** Throws a DOMException where the browser or the person refuses. */
  static async start() {
    if (!navigator.mediaDevices || !window.MediaRecorder) throw new DOMException("no microphone", "NotFoundError");
    const constraints = { echoCancellation: false, noiseSuppression: false, autoGainControl: false, channelCount: 1 };
    return new Recording(await navigator.mediaDevices.getUserMedia({ audio: constraints }));
  }

  constructor(stream) {
    this.stream = stream;
    this.started = performance.now();
    this.pieces = [];
    this.recorder = new MediaRecorder(stream);
    this.recorder.addEventListener("dataavailable", (event) => this.pieces.push(event.data));
    this.recorder.start(500);
    this.context = new AudioContext();
    this.meter = this.context.createAnalyser();
    this.meter.fftSize = 1024;
    this.context.createMediaStreamSource(stream).connect(this.meter);
    this.frame = new Float32Array(this.meter.fftSize);
  }

  get seconds() {
    return (performance.now() - this.started) / 1000;
  }

  level() {
    this.meter.getFloatTimeDomainData(this.frame);
    const power = this.frame.reduce((sum, value) => sum + value * value, 0) / this.frame.length;
    return Math.min(1, Math.max(0, 1 + Math.log10(power + 1e-9) / 5)); // -50 dB to full scale
  }

  async stop() {
    const stopped = new Promise((resolve) => this.recorder.addEventListener("stop", resolve, { once: true }));
    this.recorder.stop();
    await stopped;
    this.#release();
    // What browsers record (WebM, MP4) few programs read: the page decodes it and sends a wave file.
    return waveFile(await decoded(new Blob(this.pieces, { type: this.recorder.mimeType })));
  }

  cancel() {
    if (this.recorder.state !== "inactive") this.recorder.stop();
    this.#release();
  }

  #release() {
    for (const track of this.stream.getTracks()) track.stop();
    this.context.close();
  }
}
