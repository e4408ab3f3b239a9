// Clone: a voice made of recordings, with a note on consent; and the voices that were made.

import * as api from "../api.js";
import { canDo, catalogue, modelsThat, onCatalogue, reloadVoices } from "../catalogue.js";
import { byId, element, icon } from "../dom.js";
import { onLanguage, translated } from "../language.js";
import { Picker } from "../picker.js";
import { PageError, Task } from "../task.js";

const MOST_FILES = 8;

export function openClone() {
  const form = byId("clone");
  const fields = form.elements;
  const picker = new Picker(byId("clone-files"), { labelKey: "clone.files", several: MOST_FILES });
  const task = new Task(form, byId("clone-told"), async (signal, tell) => {
    if (!picker.file) throw new PageError("error.file");
    if (!fields.agreed.checked) throw new PageError("error.consent");
    tell("clone.making");
    const sent = new FormData();
    for (const file of picker.files) sent.append("file", file);
    for (const name of ["name", "consent", "model"])
      if (fields[name].value.trim()) sent.append(name, fields[name].value.trim());
    const voice = await api.makeVoice(sent);
    form.reset();
    picker.clear();
    await reloadVoices();
    tell("clone.done", { name: voice.name });
    task.note(voice.notes ?? []);
  });

  const fill = () => {
    const able = modelsThat("clone").filter((model) => !canDo(model, "style"));
    const usual = catalogue.info?.defaults.clone;
    const chosen = fields.model.value || usual;
    fields.model.replaceChildren(...able.map(({ id }) => new Option(id, id, id === usual, id === chosen)));
    byId("clone-model").hidden = able.length < 2;
    byId("clone-none").hidden = !catalogue.info || able.length > 0;
    byId("clone-notice").textContent = translated("clone.notice");
    const own = catalogue.voices.filter((voice) => voice.kind !== "speaker");
    byId("clone-list").replaceChildren(...own.map((voice) => card(voice, task)));
    byId("clone-empty").hidden = own.length > 0;
  };
  onCatalogue(fill);
  onLanguage(fill);
}

function card(voice, task) {
  const speaks = voice.kind === "clone" && voice.tasks.includes("speech");
  const use = element(
    "button",
    { type: "button", class: "small", onclick: () => speakWith(voice.id) },
    translated("clone.use"),
  );
  const forget = element(
    "button",
    { type: "button", class: "quiet small", onclick: () => askAndForget(voice, task) },
    icon("bin"),
    translated("clone.forget"),
  );
  const made = voice.created
    ? new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "medium" }).format(voice.created * 1000)
    : "";
  return element(
    "li",
    { class: "card voice" },
    element("h3", {}, voice.name),
    element(
      "p",
      { class: "muted" },
      [translated(`clone.kind.${voice.kind}`), voice.model, made].filter(Boolean).join(" · "),
    ),
    element("blockquote", {}, voice.consent ?? ""),
    element("div", { class: "row" }, ...(speaks ? [use] : []), forget),
  );
}

function speakWith(id) {
  const select = byId("speak").elements.voice;
  select.value = id;
  select.dispatchEvent(new Event("input", { bubbles: true }));
  location.hash = "#speak";
}

function askAndForget(voice, task) {
  const dialog = byId("forget");
  byId("forget-text").textContent = translated("clone.forget.ask", { name: voice.name });
  dialog.returnValue = "";
  dialog.addEventListener(
    "close",
    () => {
      if (dialog.returnValue !== "yes") return;
      task.run(async (signal, tell) => {
        await api.forgetVoice(voice.id);
        await reloadVoices();
        tell("clone.forgotten", { name: voice.name });
      });
    },
    { once: true },
  );
  dialog.showModal();
}
