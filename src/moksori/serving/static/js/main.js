// The page: which part is shown, in which language and colours, and what the server is.

import { onKeyNeeded } from "./api.js";
import { catalogue, load, onCatalogue } from "./catalogue.js";
import { byId, element, keep, kept } from "./dom.js";
import { LANGUAGES, language, onLanguage, speakLanguage, translateDocument, translated } from "./language.js";
import { openBoard } from "./pages/board.js";
import { openClone } from "./pages/clone.js";
import { openCompare } from "./pages/compare.js";
import { openConvert } from "./pages/convert.js";
import { openSing } from "./pages/sing.js";
import { openSpeak } from "./pages/speak.js";
import { toldOf } from "./task.js";

const PAGES = ["speak", "convert", "sing", "clone", "compare", "scoreboard"];
const THEMES = ["auto", "light", "dark"];

function showPage() {
  const wanted = location.hash.slice(1);
  const page = PAGES.includes(wanted) ? wanted : PAGES[0];
  for (const name of PAGES) {
    byId(`page-${name}`).hidden = name !== page;
    const link = document.querySelector(`nav a[href="#${name}"]`);
    if (name === page) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  return page;
}

function openLanguage() {
  const button = byId("language");
  button.addEventListener("click", () => speakLanguage(LANGUAGES.find((name) => name !== language())));
}

function openTheme() {
  const button = byId("theme");
  let theme = kept("theme", THEMES[0]);
  const show = () => {
    document.documentElement.dataset.theme = theme;
    button.querySelector("span").textContent = translated(`theme.${theme}`);
  };
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    keep("theme", theme);
    show();
  });
  onLanguage(show);
  show();
}

function openAbout() {
  const dialog = byId("about");
  byId("about-open").addEventListener("click", () => dialog.showModal());
  onCatalogue(() => {
    byId("version").textContent = catalogue.info.version;
    byId("watermark").hidden = !catalogue.info.watermark;
    byId("licences").replaceChildren(
      ...catalogue.models.map(({ id, family, license }) =>
        element(
          "tr",
          {},
          element("th", { scope: "row" }, id),
          element("td", {}, family),
          element("td", {}, license ?? ""),
        ),
      ),
    );
  });
}

/** Asks for the server's key; null where a person would rather not. */
function askForKey() {
  const dialog = byId("key");
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener(
      "close",
      () => {
        const field = dialog.querySelector("input");
        resolve(dialog.returnValue === "yes" ? field.value.trim() || null : null);
        field.value = "";
        dialog.returnValue = "";
      },
      { once: true },
    );
  });
}

async function reach() {
  const problem = byId("unreachable");
  problem.hidden = true;
  try {
    await load();
  } catch (error) {
    byId("unreachable-text").textContent = toldOf(error);
    problem.hidden = false;
  }
}

translateDocument();
onKeyNeeded(askForKey);
openLanguage();
openTheme();
openAbout();
for (const open of [openSpeak, openConvert, openSing, openClone, openCompare, openBoard]) open();
window.addEventListener("hashchange", () => {
  const page = showPage();
  byId(`page-${page}`).querySelector("h1").focus();
});
byId("again").addEventListener("click", reach);
showPage();
await reach();
document.documentElement.dataset.ready = "true";
