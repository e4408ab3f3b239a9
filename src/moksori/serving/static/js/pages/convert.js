// Convert: a recording, said by somebody else.

import { canDo, catalogue, fillVoices, modelOf, modelsThat, onCatalogue, voiceOf } from "../catalogue.js";
import { byId } from "../dom.js";
import { onLanguage, translated } from "../language.js";
import { PairView } from "../pair_view.js";
import { Picker } from "../picker.js";
import { PageError, Task } from "../task.js";

export function openConvert() {
  const form = byId("convert");
  const fields = form.elements;
  const source = new Picker(byId("convert-source"), { labelKey: "convert.source" });
  const target = new Picker(byId("convert-target"), { labelKey: "convert.target", several: 4 });
  const pair = new PairView(byId("convert-result"), "moksori-converted", (error) => task.fail(error));

  const task = new Task(form, byId("convert-told"), async (signal, tell) => {
    if (!source.file) throw new PageError("error.file");
    const dropped = fields.who.value === "dropped";
    if (dropped && !target.file) throw new PageError("error.target");
    tell("convert.making");
    const sent = new FormData();
    sent.append("file", source.file);
    if (dropped) for (const file of target.files) sent.append("target", file);
    else sent.append("voice", fields.voice.value);
    if (words()) sent.append("text", words());
    else if (likes()) sent.append("strength", fields.strength.value);
    else if (takesPitch() && Number(fields.pitch.value)) sent.append("pitch", fields.pitch.value);
    if (fields.seed.value) sent.append("seed", fields.seed.value);
    const made = await pair.make("/v1/convert", sent, source.sounds[0], signal);
    task.note(made.notes);
    tell(made.source ? "convert.done.from" : "convert.done", made);
  });

  const likes = () => fields.who.value === "dropped" || voiceOf(fields.voice.value)?.kind === "clone";
  const takesText = () => fields.who.value === "dropped" && modelsThat("speech_like").length > 0;
  const words = () => (takesText() ? fields.text.value.trim() : "");
  const takesPitch = () => modelOf(voiceOf(fields.voice.value)?.model)?.options?.pitch ?? false;
  const showChoice = () => {
    const dropped = fields.who.value === "dropped";
    byId("convert-target").hidden = !dropped;
    byId("convert-text").hidden = !takesText();
    byId("convert-voice").hidden = dropped;
    byId("convert-strength").hidden = !likes() || words() !== "";
    byId("convert-pitch").hidden = likes() || !takesPitch();
    fields.strength.nextElementSibling.value = Number(fields.strength.value).toFixed(2);
    fields.pitch.nextElementSibling.value = translated("semitones", { count: fields.pitch.value });
  };
  const fill = () => {
    const able = catalogue.voices.filter((voice) => voice.tasks.includes("convert") && !singsOnly(voice));
    fillVoices(fields.voice, able, catalogue.info?.defaults.convert_speaker);
    byId("convert-none").hidden = modelsThat("convert").length + modelsThat("convert_like").length > 0;
    showChoice();
  };
  onCatalogue(fill);
  onLanguage(fill);
  form.addEventListener("input", showChoice);
}

/** Whether a voice is one of a model for songs: those are offered where songs are. */
export function singsOnly(voice) {
  return (
    voice.kind === "speaker" &&
    voice.model === catalogue.info.defaults.convert_singer &&
    !canDo(modelOf(voice.model), "speech")
  );
}
