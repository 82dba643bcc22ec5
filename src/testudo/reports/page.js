"use strict";
// The page is whole without this: it makes tables sortable, and puts attacks that differ in size behind a slider.

// A cell's number, if it is one: "97.2", "−3.1", "[0, 2]", "±0.5", "1,234", "<0.001"; null for none.
const number = (text) => {
  const found = /^[\[<±+]*([-−]?[\d,]*\.?\d+(?:e[-−+]?\d+)?)/i.exec(text.trim());
  return found ? Number(found[1].replaceAll(",", "").replaceAll("−", "-")) : null;
};

const shown = (row, column) => row.cells[column]?.querySelector("span")?.textContent ?? "";

// Rows of a section in parcels: each line with the differences below it, which belong to it.
const parcels = (body) => {
  const found = [];
  for (const row of body.rows) {
    if (row.classList.contains("section")) continue;
    if (row.classList.contains("difference") && found.length) found.at(-1).push(row);
    else found.push([row]);
  }
  return found;
};

const sort = (table, column, way) => {
  for (const body of table.tBodies) {
    body.kept ??= parcels(body);
    const texts = new Map(body.kept.map((parcel) => [parcel, shown(parcel[0], column)]));
    const known = [...texts.values()].filter((text) => text !== "–" && text !== "");
    const numeric = !table.tHead.rows[0].cells[column].classList.contains("words") && known.every((t) => number(t) !== null);
    const compare = (a, b) => {
      const [x, y] = [texts.get(a), texts.get(b)];
      const [no, none] = [x === "–" || x === "", y === "–" || y === ""];
      if (no || none) return no - none; // what was not measured comes last either way
      return way * (numeric ? number(x) - number(y) : x.localeCompare(y, "en", { numeric: true }));
    };
    const order = way ? [...body.kept].sort(compare) : body.kept;
    body.append(...order.flat());
  }
};

for (const table of document.querySelectorAll(".scroll table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "sort";
    button.append(...head.childNodes);
    if (!button.textContent.trim()) button.setAttribute("aria-label", "name");
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const next = { none: "descending", descending: "ascending", ascending: "none" };
      if (head.classList.contains("words")) Object.assign(next, { none: "ascending", ascending: "descending", descending: "none" });
      const to = next[head.getAttribute("aria-sort")];
      heads.forEach((other) => other.setAttribute("aria-sort", other === head ? to : "none"));
      sort(table, column, { ascending: 1, descending: -1, none: 0 }[to]);
    });
  });
}

const show = (card, level) => {
  const slider = card.querySelector(".slider input");
  const eps = card.querySelectorAll(".noise")[level].dataset.eps;
  for (const part of card.querySelectorAll("[data-level]")) part.hidden = Number(part.dataset.level) !== level;
  slider.value = level;
  slider.setAttribute("aria-valuetext", eps);
  card.querySelector(".slider output").textContent = eps;
};

for (const section of document.querySelectorAll("section")) {
  const cards = [...section.querySelectorAll(".card")].filter((card) => card.querySelector(".slider"));
  for (const card of cards) {
    const slider = card.querySelector(".slider input");
    card.querySelector(".slider").hidden = false;
    show(card, Number(slider.value));
    slider.addEventListener("input", () => {
      const level = Number(slider.value);
      const eps = card.querySelectorAll(".noise")[level].dataset.eps;
      for (const other of cards) {
        const same = [...other.querySelectorAll(".noise")].findIndex((part) => part.dataset.eps === eps);
        if (other === card || same >= 0) show(other, other === card ? level : same);
      }
    });
  }
}
for (const part of document.querySelectorAll(".scripted")) part.hidden = false;

// What is folded away but belongs on paper.
const folded = [...document.querySelectorAll("details.printed")];
let opened = [];
addEventListener("beforeprint", () => {
  opened = folded.filter((part) => !part.open);
  for (const part of opened) part.open = true;
});
addEventListener("afterprint", () => {
  for (const part of opened) part.open = false;
});
