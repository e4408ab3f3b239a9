// Sing: a song in a singer's voice, and a score in anybody's.

import { catalogue, fillVoices, modelOf, onCatalogue, voiceOf } from "../catalogue.js";
import { byId } from "../dom.js";
import { onLanguage, translated } from "../language.js";
import { PairView } from "../pair_view.js";
import { Picker } from "../picker.js";
import { PageError, Task } from "../task.js";
import { singsOnly } from "./convert.js";

export function openSing() {
  openSong();
  openScore();
  const choice = byId("sing-choice");
  const show = () => {
    for (const { value, checked } of choice.querySelectorAll("input")) byId(`sing-${value}`).hidden = !checked;
  };
  choice.addEventListener("change", show);
  show();
}

function openSong() {
  const form = byId("song");
  const fields = form.elements;
  const song = new Picker(byId("song-file"), { labelKey: "song.file" });
  const pair = new PairView(byId("song-result"), "moksori-song", (error) => task.fail(error));
  const task = new Task(form, byId("song-told"), async (signal, tell) => {
    if (!song.file) throw new PageError("error.file");
    tell("song.making");
    const singer = voiceOf(fields.voice.value);
    const sent = formOf(fields, ["seed"]);
    sent.append("file", song.file);
    sent.append("singer", singer.name);
    sent.append("model", singer.model);
    sent.append("key", keyOf(fields));
    const made = await pair.make("/v1/convert", sent, song.sounds[0], signal);
    task.note(made.notes);
    tell("convert.done", made);
  });
  const fill = () => {
    const able = catalogue.voices.filter((voice) => voice.tasks.includes("convert") && singsOnly(voice));
    fillVoices(fields.voice, able);
    byId("song-none").hidden = !catalogue.info || able.length > 0;
    fields.make.disabled = able.length === 0;
    showKey(fields);
  };
  onCatalogue(fill);
  onLanguage(fill);
  form.addEventListener("input", () => showKey(fields));
  showKey(fields);
}

function openScore() {
  const form = byId("score");
  const fields = form.elements;
  const score = new Picker(byId("score-file"), {
    labelKey: "score.file",
    hintKey: "score.hint",
    accept: ".musicxml,.mxl,.xml,.mid,.midi,.kar",
    records: false,
    draws: false,
  });
  const prompt = new Picker(byId("score-prompt"), { labelKey: "score.prompt", several: 4 });
  const result = new PairView(byId("score-result"), "moksori-score", (error) => task.fail(error));
  const task = new Task(form, byId("score-told"), async (signal, tell) => {
    if (!score.file) throw new PageError("error.score");
    if (!fields.voice.value && !prompt.file) throw new PageError("error.target");
    tell("score.making");
    const sent = formOf(fields, ["lyrics", "speed", "seed"]);
    sent.append("score", score.file);
    sent.append("key", keyOf(fields));
    if (fields.voice.value) sent.append("voice", fields.voice.value);
    else for (const file of prompt.files) sent.append("target", file);
    const made = await result.make("/v1/sing", sent, null, signal);
    task.note(made.notes);
    tell("convert.done", made);
  });
  const show = () => {
    byId("score-prompt").hidden = fields.voice.value !== "";
    fields.speed.nextElementSibling.value = `${Number(fields.speed.value).toFixed(2)}×`;
    showKey(fields);
  };
  const fill = () => {
    const able = catalogue.info?.defaults.sing ?? null;
    byId("score-none").hidden = !catalogue.info || able !== null;
    byId("score-fields").disabled = able === null;
    const own = catalogue.voices.filter(
      (voice) => voice.kind === "clone" && modelOf(voice.model)?.tasks.includes("sing"),
    );
    fillVoices(fields.voice, own);
    fields.voice.prepend(new Option(translated("score.dropped"), ""));
    if (own.length === 0) fields.voice.value = "";
    show();
  };
  onCatalogue(fill);
  onLanguage(fill);
  form.addEventListener("input", show);
  show();
}

/** A form of those fields that hold something. */
function formOf(fields, names) {
  const sent = new FormData();
  for (const name of names) if (fields[name].value.trim()) sent.append(name, fields[name].value.trim());
  return sent;
}

const keyOf = (fields) => (fields.auto.checked ? "auto" : fields.key.value);

function showKey(fields) {
  fields.key.disabled = fields.auto.checked;
  const count = Number(fields.key.value);
  const told = fields.auto.checked ? "key.auto.short" : "semitones";
  fields.key.nextElementSibling.value = translated(told, { count: count > 0 ? `+${count}` : count });
}
