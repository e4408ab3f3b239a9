// Plays a sound that may still be growing, without gaps, and knows where it is.

const AHEAD_SECONDS = 2.5; // scheduled before it is heard: a tab in the background is woken once a second
const PIECE_SECONDS = 0.5;
const LEAD_SECONDS = 0.04;
const TICK_MILLISECONDS = 60;

const contexts = new Map(); // a context for each rate, so that the pieces of a sound meet sample to sample
let playing = null; // the one that is heard

function contextOf(sampleRate) {
  if (!contexts.has(sampleRate)) contexts.set(sampleRate, new AudioContext({ sampleRate, latencyHint: "interactive" }));
  return contexts.get(sampleRate);
}

/**
 * A player of one sound. Events: "state" when it starts, stops or waits; "position" while it plays. Starting one stops
 * the one that plays.
 */
export class Player extends EventTarget {
  constructor(sound) {
    super();
    this.sound = sound;
    this.playing = false;
    this.place = 0; // sample where it stands while it does not play
    this.sources = new Set();
    this.timer = null;
  }

  /** Seconds from the start to what is heard now. */
  get position() {
    if (!this.playing) return this.place / this.sound.sampleRate;
    const passed = (this.context.currentTime - this.anchorTime) * this.sound.sampleRate;
    return Math.min(this.scheduled, Math.max(this.anchorSample, this.anchorSample + passed)) / this.sound.sampleRate;
  }

  async play() {
    if (this.playing) return;
    if (playing) playing.pause();
    playing = this;
    if (this.sound.ended && this.place >= this.sound.length) this.place = 0;
    this.playing = true;
    this.context = contextOf(this.sound.sampleRate);
    this.#anchor(this.place);
    this.timer = setInterval(() => this.#tick(), TICK_MILLISECONDS);
    this.dispatchEvent(new Event("state"));
    await this.context.resume();
    if (this.playing) this.#tick();
  }

  pause() {
    if (!this.playing) return;
    this.place = Math.round(this.position * this.sound.sampleRate);
    this.#stop();
  }

  toggle() {
    return this.playing ? this.pause() : this.play();
  }

  /** seconds: from the start; what lies outside is brought inside. */
  seek(seconds) {
    const sample = Math.round(Math.min(Math.max(0, seconds), this.sound.seconds) * this.sound.sampleRate);
    if (this.playing) {
      this.#silence();
      this.#anchor(sample);
      this.#tick();
    } else this.place = sample;
    this.dispatchEvent(new Event("position"));
  }

  #anchor(sample) {
    this.anchorTime = this.context.currentTime + LEAD_SECONDS;
    this.anchorSample = sample;
    this.scheduled = sample;
  }

  #tick() {
    const { sound, context } = this;
    const rate = sound.sampleRate;
    const due = () => this.anchorTime + (this.scheduled - this.anchorSample) / rate;
    if (this.scheduled < sound.length && due() < context.currentTime) this.#anchor(this.scheduled); // it came too late
    while (this.scheduled < sound.length && due() < context.currentTime + AHEAD_SECONDS) {
      const end = Math.min(sound.length, this.scheduled + Math.round(PIECE_SECONDS * rate));
      this.#start(this.scheduled, end, due());
      this.scheduled = end;
    }
    this.dispatchEvent(new Event("position"));
    if (sound.ended && this.scheduled >= sound.length && context.currentTime >= due()) {
      this.place = sound.length;
      this.#stop();
    }
  }

  #start(from, to, time) {
    const buffer = this.context.createBuffer(1, to - from, this.sound.sampleRate);
    buffer.copyToChannel(this.sound.samples.subarray(from, to), 0);
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.context.destination);
    source.addEventListener("ended", () => this.sources.delete(source));
    source.start(time);
    this.sources.add(source);
  }

  #silence() {
    for (const source of this.sources) source.stop();
    this.sources.clear();
  }

  #stop() {
    clearInterval(this.timer);
    this.#silence();
    this.playing = false;
    if (playing === this) playing = null;
    this.dispatchEvent(new Event("position"));
    this.dispatchEvent(new Event("state"));
  }
}
