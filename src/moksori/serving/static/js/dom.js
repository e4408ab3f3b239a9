// Small helpers around the document.

export const byId = (id) => document.getElementById(id);

/** An element: `element("button", { class: "quiet", type: "button", onclick }, "text", child)`. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  set(made, attributes);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

/** The same for a drawing. */
export function drawing(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  set(made, attributes);
  made.append(...children);
  return made;
}

function set(made, attributes) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
}

/** One of the drawings of index.html's <symbol>s. */
export function icon(name) {
  const use = drawing("use", { href: `#icon-${name}` });
  return drawing("svg", { class: "icon", "aria-hidden": "true" }, use);
}

/** Offers `blob` as a file. */
export function download(blob, name) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Seconds as 0:07.4 or 12:05. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const minutes = Math.floor(whole / 60);
  const rest = `${minutes}:${String(whole % 60).padStart(2, "0")}`;
  return minutes < 10 ? `${rest}.${Math.floor((seconds - whole) * 10)}` : rest;
}

/** What is kept in this browser under `key`; `otherwise` where there is nothing, or nothing can be kept. */
export function kept(key, otherwise) {
  try {
    const found = localStorage.getItem(`moksori.${key}`);
    return found === null ? otherwise : JSON.parse(found);
  } catch {
    return otherwise;
  }
}

export function keep(key, value) {
  try {
    localStorage.setItem(`moksori.${key}`, JSON.stringify(value));
  } catch {
    // A private window keeps nothing: the page works without.
  }
}
