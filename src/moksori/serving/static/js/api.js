// What the page asks of the server. Every failure is an ApiError that says what to change.

import { WaveReader, mended } from "./wave_file.js";

export class ApiError extends Error {
  constructor(message, { status = 0, code = null, param = null, retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { status, code, param, retryAfter });
  }
}

const KEY = "moksori.key"; // for this tab alone: a key is not written to disk
let ask = async () => null;
let asking = null; // several requests may be refused at once: a person is asked once

/** How a key is asked for where the server wants one: a function that gives a promise of it, or of null. */
export function onKeyNeeded(how) {
  ask = how;
}

function askForKey() {
  asking ??= ask().finally(() => (asking = null));
  return asking;
}

function headers() {
  const key = sessionStorage.getItem(KEY);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

async function send(path, options = {}, again = true) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { ...options.headers, ...headers() } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("", { code: "unreachable" });
  }
  if (response.ok) return response;
  if (response.status === 401 && again) {
    const key = await askForKey();
    if (key) {
      sessionStorage.setItem(KEY, key);
      return send(path, options, false);
    }
  }
  throw await failure(response);
}

async function failure(response) {
  const retryAfter = Number(response.headers.get("Retry-After")) || null;
  try {
    const { error } = await response.json();
    return new ApiError(error.message, { ...error, status: response.status, retryAfter });
  } catch {
    return new ApiError(`HTTP ${response.status}`, { status: response.status, retryAfter });
  }
}

const json = async (path, options) => (await send(path, options)).json();

export const info = () => json("/v1/info");
export const models = async () => (await json("/v1/models")).data;
export const voices = async () => (await json("/v1/voices")).data;
export const scoreboard = () => json("/v1/scoreboard");
export const forgetVoice = (id) => json(`/v1/voices/${encodeURIComponent(id)}`, { method: "DELETE" });
export const makeVoice = (form) => json("/v1/clone", { method: "POST", body: form });

function posted(body, signal) {
  return { method: "POST", signal, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

/** Speech as a finished file. */
export async function speechFile(request, signal) {
  return made(await send("/v1/audio/speech", posted({ ...request, stream_format: "audio" }, signal)));
}

/** Speech as it is made: the events of the stream, one after another. */
export async function* speech(request, signal) {
  const asked = { ...request, stream_format: "sse", response_format: "pcm" };
  const response = await send("/v1/audio/speech", posted(asked, signal));
  for await (const event of events(response.body)) {
    if (event.type === "error") throw new ApiError(event.error.message, event.error);
    yield event;
  }
}

/**
 * A form to /v1/convert or /v1/sing; what comes back, as a whole. grow(sampleRate, samples): told of a wave file's
 * samples as they come.
 */
export async function sound(path, form, signal, grow = null) {
  return made(await send(path, { method: "POST", body: form, signal }), grow);
}

/** {blob, seed, notes, source}: a sound and what the server tells of it. */
async function made(response, grow = null) {
  const told = (name) => response.headers.get(`X-Moksori-${name}`);
  const body = response.body.getReader();
  const wave = new WaveReader();
  const pieces = [];
  for (;;) {
    const { value, done } = await unbroken(body.read());
    if (done) break;
    pieces.push(value);
    if (!grow) continue;
    const samples = wave.push(value);
    if (samples.length) grow(wave.sampleRate, samples);
  }
  return {
    blob: await mended(new Blob(pieces, { type: response.headers.get("Content-Type") })),
    seed: told("Seed"),
    source: told("Source"),
    notes: JSON.parse(told("Notes") ?? "[]"),
  };
}

/** What was promised; a connection that ends too early is an ApiError. */
async function unbroken(promised) {
  try {
    return await promised;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("", { code: "broken" });
  }
}

/** The data of server-sent events, as JSON; comments and other fields are passed over. */
export async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  try {
    for (;;) {
      const { value, done } = await unbroken(reader.read());
      if (done) return;
      const parts = (held + value).split(/\r?\n\r?\n/);
      held = parts.pop();
      for (const part of parts) {
        const data = part
          .split(/\r?\n/)
          .filter((line) => line.startsWith("data:"))
          .map((line) => line.slice(5).trimStart());
        if (data.length && data[0] !== "[DONE]") yield JSON.parse(data.join("\n"));
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
