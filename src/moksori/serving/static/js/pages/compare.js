// Compare: a sentence in several voices, by name or blind, with a vote.

import { catalogue, onCatalogue, titleOf, voiceOf } from "../catalogue.js";
import { byId, element, keep, kept } from "../dom.js";
import { onLanguage, translated } from "../language.js";
import { SoundView } from "../sound_view.js";
import { PageError, Task } from "../task.js";
import { listen, speechOf } from "./speak.js";

const FEWEST = 2;
const MOST = 6;

export function openCompare() {
  const form = byId("compare");
  const fields = form.elements;
  const cards = byId("compare-cards");
  let round = null; // what is heard: {voices: in the order shown, blind, voted}

  const task = new Task(form, byId("compare-told"), async (signal, tell) => {
    const text = fields.text.value.trim();
    if (!text) throw new PageError("error.text");
    const chosen = chosenVoices();
    if (chosen.length < FEWEST || chosen.length > MOST)
      throw new PageError("error.compare", { fewest: FEWEST, most: MOST });
    const blind = fields.blind.checked;
    round = { voices: blind ? shuffled(chosen) : chosen, blind, voted: false };
    const views = round.voices.map((voice, place) => newCard(voice, place));
    showNames();
    const seed = Math.floor(Math.random() * 2 ** 31);
    for (const [place, voice] of round.voices.entries()) {
      tell("compare.making", { place: place + 1, count: round.voices.length });
      await listen(views[place], { ...speechOf(text, voice), seed }, signal, task, false);
    }
    for (const button of cards.querySelectorAll(".vote")) button.disabled = false;
    tell(blind ? "compare.vote.now" : "compare.done");
  });

  function newCard(voice, place) {
    if (place === 0) cards.replaceChildren();
    const host = element("div");
    const vote = element("button", { type: "button", class: "vote", disabled: true, onclick: () => choose(voice) });
    cards.append(element("li", { class: "card" }, element("h3"), host, vote));
    return new SoundView(host, { compact: true, label: "compare.picture" });
  }

  function choose(voice) {
    if (round.voted) return;
    round.voted = true;
    const tally = kept("votes", {});
    for (const heard of round.voices) {
      const count = (tally[heard] ??= { heard: 0, chosen: 0 });
      count.heard += 1;
      if (heard === voice) count.chosen += 1;
    }
    keep("votes", tally);
    round.best = voice;
    showNames();
    showTally();
    task.tell("compare.voted", { name: nameOf(voice) });
  }

  function showNames() {
    for (const [place, found] of [...cards.children].entries()) {
      const voice = round.voices[place];
      const letter = String.fromCharCode(65 + place);
      const hidden = round.blind && !round.voted;
      found.querySelector("h3").textContent = hidden ? translated("compare.hidden", { letter }) : nameOf(voice);
      const vote = found.querySelector(".vote");
      vote.textContent = translated(round.best === voice ? "compare.chosen" : "compare.best");
      vote.disabled ||= round.voted;
      found.classList.toggle("best", round.best === voice);
    }
  }

  function showTally() {
    const tally = Object.entries(kept("votes", {})).sort(([, a], [, b]) => b.chosen / b.heard - a.chosen / a.heard);
    byId("tally").hidden = tally.length === 0;
    byId("tally-rows").replaceChildren(
      ...tally.map(([voice, { heard, chosen }]) => {
        const share = (100 * chosen) / heard;
        const meter = element("meter", { min: 0, max: 100, value: share, "aria-hidden": "true" });
        const cells = [chosen, heard].map((count) => element("td", {}, String(count)));
        return element(
          "tr",
          {},
          element("th", { scope: "row" }, nameOf(voice)),
          ...cells,
          element("td", {}, meter, ` ${Math.round(share)} %`),
        );
      }),
    );
  }

  const chosenVoices = () => [...form.querySelectorAll("[name=voice]:checked")].map((box) => box.value);

  const fill = () => {
    const before = form.querySelector("[name=voice]") ? chosenVoices() : null;
    const able = catalogue.voices.filter((voice) => voice.kind !== "style" && voice.tasks.includes("speech"));
    // At first one voice of each model: that is what one wants to hear side by side.
    const first = able.filter((voice, n) => able.findIndex((other) => other.model === voice.model) === n).slice(0, 3);
    const marked = before ?? first.map((voice) => voice.id);
    byId("compare-voices").replaceChildren(
      ...able.map((voice) =>
        element(
          "label",
          { class: "chip" },
          element("input", { type: "checkbox", name: "voice", value: voice.id, checked: marked.includes(voice.id) }),
          element("span", {}, nameOf(voice.id)),
        ),
      ),
    );
    if (round) showNames();
    showTally();
  };
  onCatalogue(fill);
  onLanguage(fill);
  byId("tally-clear").addEventListener("click", () => {
    keep("votes", {});
    showTally();
  });
}

function nameOf(id) {
  const voice = voiceOf(id);
  if (!voice) return id; // one that is no longer there, in the tally
  return voice.name === voice.model ? titleOf(voice) : `${titleOf(voice)}, ${voice.model}`;
}

function shuffled(items) {
  const order = [...items];
  for (let n = order.length - 1; n > 0; n--) {
    const other = Math.floor(Math.random() * (n + 1));
    [order[n], order[other]] = [order[other], order[n]];
  }
  return order;
}
