// The models and voices of the server, and who can do what.

import * as api from "./api.js";
import { element } from "./dom.js";
import { translated } from "./language.js";

const followers = new Set();

/** What the server has; empty until `load` is through. */
export const catalogue = { info: null, models: [], voices: [] };

export async function load() {
  [catalogue.info, catalogue.models, catalogue.voices] = await Promise.all([api.info(), api.models(), api.voices()]);
  for (const follow of followers) follow();
}

/** Asks for the voices anew, as after one was made or deleted. */
export async function reloadVoices() {
  catalogue.voices = await api.voices();
  for (const follow of followers) follow();
}

export function onCatalogue(follow) {
  followers.add(follow);
}

export const modelOf = (id) => catalogue.models.find((model) => model.id === id);
export const voiceOf = (id) => catalogue.voices.find((voice) => voice.id === id);
export const canDo = (model, task) => model?.tasks.includes(task) ?? false;
export const modelsThat = (task) => catalogue.models.filter((model) => canDo(model, task));

/**
 * Puts voices into a <select>, those of a model together and one's own first; keeps what was chosen. Where nothing was:
 * the default voice, or one of `model`.
 */
export function fillVoices(select, voices, model = null) {
  const chosen = select.value;
  const groups = new Map();
  for (const voice of voices) {
    const group = voice.kind === "speaker" ? voice.model : translated("voices.own");
    if (!groups.has(group)) groups.set(group, []);
    groups.get(group).push(voice);
  }
  const own = (group) => Number(group[1][0].kind === "speaker");
  const made = [...groups]
    .sort((a, b) => own(a) - own(b))
    .map(([name, members]) =>
      element(
        "optgroup",
        { label: name },
        ...members.map((voice) => element("option", { value: voice.id }, titleAmong(voice, voices))),
      ),
    );
  select.replaceChildren(...made);
  const usual = voices.find((voice) => voice.default) ?? voices.find((voice) => voice.model === model) ?? voices[0];
  select.value = voices.some((voice) => voice.id === chosen) ? chosen : (usual?.id ?? "");
}

/** The same with its model behind it, where another model has a voice of that name. */
function titleAmong(voice, voices) {
  const shared = voices.some((other) => other.name === voice.name && other.model !== voice.model);
  return shared && voice.name !== voice.model ? `${titleOf(voice)} · ${voice.model}` : titleOf(voice);
}

/** A voice as people read it: its name, and its language where it has one. */
export function titleOf(voice) {
  if (!voice.language) return voice.name;
  const names = new Intl.DisplayNames([document.documentElement.lang], { type: "language" });
  const written = voice.language.replace(/-([a-z]+)$/, (_, place) => `-${place.toUpperCase()}`);
  try {
    return `${voice.name} (${names.of(written)})`;
  } catch {
    return `${voice.name} (${voice.language})`; // a language that espeak names in a way of its own
  }
}
