// Speak: a text, said while one listens.

import * as api from "../api.js";
import { canDo, catalogue, fillVoices, modelOf, onCatalogue, voiceOf } from "../catalogue.js";
import { byId } from "../dom.js";
import { language, onLanguage, translated } from "../language.js";
import { LexiconEditor } from "../lexicon.js";
import { Picker } from "../picker.js";
import { Saver } from "../saver.js";
import { Sound, samplesOfBase64 } from "../sound.js";
import { SoundView } from "../sound_view.js";
import { PageError, Task } from "../task.js";

const LETTERS_A_SECOND = 14; // of speech, so that the picture is about as wide as what will come
const MOST_SEED = 2 ** 31;

export function openSpeak() {
  const form = byId("speak");
  const fields = form.elements;
  const result = byId("speak-result");
  const lexicon = new LexiconEditor(byId("speak-lexicon"));
  const saver = new Saver((error) => task.fail(error));
  const view = new SoundView(byId("speak-sound"), { label: "speak.picture", actions: [saver.element] });

  const task = new Task(form, byId("speak-told"), async (signal, tell) => {
    const request = requested();
    result.hidden = false;
    result.scrollIntoView({ block: "nearest" });
    tell("speak.making");
    saver.withdraw();
    const seconds = await listen(view, request, signal, task);
    // The same seed gives the same sound once more.
    saver.offer(
      `moksori-${request.seed}`,
      async (format) => (await api.speechFile({ ...request, response_format: format })).blob,
    );
    tell("speak.done", { seconds: seconds.toFixed(1), seed: request.seed });
  });

  function requested() {
    const text = fields.text.value.trim();
    if (!text) throw new PageError("error.text");
    const limit = catalogue.info.limits.characters;
    if (text.length > limit) throw new PageError("error.long", { count: text.length, limit });
    const options = optionsOf(fields.voice.value);
    return {
      ...speechOf(text, fields.voice.value),
      seed: fields.seed.value === "" ? Math.floor(Math.random() * MOST_SEED) : Number(fields.seed.value),
      ...(options.speed && { speed: Number(fields.speed.value) }),
      ...(options.pitch && { pitch: Number(fields.pitch.value) }),
      ...(options.variation && !fields.usual.checked && { variation: Number(fields.variation.value) }),
      ...(lexicon.entries.length > 0 && { lexicon: lexicon.entries }),
      ...(options.styles &&
        fields.style.value && { style: [fields.style.value], strength: Number(fields.strength.value) }),
    };
  }

  function showOptions() {
    const options = optionsOf(fields.voice.value);
    for (const name of ["speed", "pitch", "variation"]) byId(`speak-${name}`).hidden = !options[name];
    byId("speak-styles").hidden = !options.styles;
    fillStyles();
    const limit = catalogue.info?.limits.characters;
    byId("speak-count").textContent = limit
      ? translated("speak.count", { count: fields.text.value.length, limit })
      : "";
    for (const name of ["speed", "pitch", "variation", "strength"]) fields[name].nextElementSibling.value = shown(name);
    fields.variation.disabled = fields.usual.checked;
  }

  function shown(name) {
    const value = Number(fields[name].value);
    if (name === "speed") return `${value.toFixed(2)}×`;
    if (name === "pitch") return translated("semitones", { count: value > 0 ? `+${value}` : value });
    return name === "variation" && fields.usual.checked ? translated("speak.usual") : value.toFixed(2);
  }

  function fillStyles() {
    const chosen = fields.style.value;
    const styles = catalogue.voices.filter(
      (voice) => voice.kind === "style" && voice.model === voiceOf(fields.voice.value)?.model,
    );
    fields.style.replaceChildren(
      new Option(translated("style.none"), ""),
      ...styles.map((style) => new Option(style.name, style.id)),
    );
    fields.style.value = styles.some((style) => style.id === chosen) ? chosen : "";
  }

  const fill = () => {
    fillVoices(
      fields.voice,
      catalogue.voices.filter((voice) => voice.kind !== "style" && voice.tasks.includes("speech")),
    );
    showOptions();
  };
  const example = () => {
    fields.text.value = exampleFor(voiceOf(fields.voice.value)?.language, fields.text.value);
    showOptions();
  };
  onCatalogue(fill);
  onCatalogue(() => fields.text.value || example()); // one press is enough to hear something
  onLanguage(fill);
  form.addEventListener("input", showOptions);
  fields.text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  byId("speak-example").addEventListener("click", example);
  openStyleMaker(fields, () => fillStyles());
}

/** The fields of a request that say whose voice a text is said in. */
export function speechOf(text, voiceId) {
  const voice = voiceOf(voiceId);
  // A clone's own model may not be the one that speaks: the server knows which one does.
  const model = voice?.kind === "speaker" ? { model: voice.model } : {};
  return { input: text, voice: voiceId, ...model };
}

function optionsOf(voiceId) {
  const voice = voiceOf(voiceId);
  const own = modelOf(voice?.model);
  const speaks = canDo(own, "speech") || canDo(own, "speech_like") ? own : modelOf(catalogue.info?.defaults.speech);
  return speaks?.options ?? {};
}

/** Shows what `request` asks for in `view` while it is made, and plays it if `aloud`; gives its length in seconds. */
export async function listen(view, request, signal, task, aloud = true) {
  const expected = 0.5 + request.input.length / LETTERS_A_SECOND / (request.speed ?? 1);
  const rate = voiceOf(request.voice)?.kind === "speaker" ? modelOf(request.model)?.sample_rate : undefined;
  const asked = { ...request, timings: true, ...(rate && { sample_rate: rate }) };
  let sound = null;
  try {
    for await (const event of api.speech(asked, signal)) {
      if (event.type === "speech.started") {
        sound = new Sound(event.sample_rate);
        task.note(event.notes ?? []);
        const player = view.show(sound, expected);
        if (aloud) player.play();
      } else if (event.type === "speech.audio.delta") {
        sound.append(samplesOfBase64(event.audio));
        view.grew();
      } else if (event.type === "speech.timings.delta") view.addWords(event.words);
    }
  } finally {
    if (signal.aborted) view.player?.pause();
    if (sound) {
      sound.ended = true;
      view.ended();
    }
  }
  return sound?.seconds ?? 0;
}

function openStyleMaker(fields, fill) {
  const form = byId("style-maker");
  byId("style-open").addEventListener("click", () => byId("style-dialog").showModal());
  byId("style-close").addEventListener("click", () => byId("style-dialog").close());
  const picker = new Picker(byId("style-clip"), { labelKey: "style.clip" });
  const task = new Task(form, byId("style-told"), async (signal, tell) => {
    if (!picker.file) throw new PageError("error.file");
    tell("style.making");
    const sent = new FormData(form);
    sent.append("file", picker.file);
    sent.append("model", voiceOf(fields.voice.value).model);
    const style = await api.makeVoice(sent);
    catalogue.voices.push(style);
    fill();
    fields.style.value = style.id;
    form.reset();
    picker.clear();
    tell("style.made", { name: style.name });
    task.note(style.notes ?? []);
  });
}

const EXAMPLES = {
  en: [
    "The north wind and the sun were arguing about which of them was stronger.",
    "On a clear morning you can hear the ferry long before you see it.",
    "Please call Stella, and ask her to bring these things from the store.",
  ],
  ko: ["바람과 해님이 누가 더 힘이 센지 다투고 있었습니다.", "맑은 아침에는 배가 보이기도 전에 뱃소리가 들립니다."],
  de: ["Einst stritten sich Nordwind und Sonne, wer von ihnen beiden wohl der Stärkere wäre."],
  nl: ["De noordenwind en de zon waren erover aan het redetwisten wie de sterkste was van hun beiden."],
  fr: ["La bise et le soleil se disputaient, chacun assurant qu'il était le plus fort."],
};

/** A sentence in the language of the voice, another one than `last`. */
function exampleFor(spoken, last) {
  const own = EXAMPLES[(spoken ?? language()).slice(0, 2)] ?? EXAMPLES.en;
  return own[(own.indexOf(last.trim()) + 1) % own.length];
}
