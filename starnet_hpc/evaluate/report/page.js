"use strict";
// Tables sort by the numbers in data-value; the third click brings back the order in which they were written.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const written = [...body.rows];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (written.length && written[0].cells[column].classList.contains("n")) head.classList.add("n");
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const next = { undefined: "ascending", ascending: "descending" }[head.getAttribute("aria-sort") ?? undefined];
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (next) head.setAttribute("aria-sort", next);
      body.append(...(next ? sorted(written, column, next === "ascending" ? 1 : -1) : written));
    });
  });
}

function sorted(rows, column, direction) {
  const value = (row) => row.cells[column].dataset.value;
  return [...rows].sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === "" || y === "") return (x === "") - (y === ""); // rows without a number stay at the end
    const difference = Number(x) - Number(y);
    return direction * (Number.isNaN(difference) ? x.localeCompare(y) : difference);
  });
}

// A figure is shown in full size on a click or on Enter; a click, Escape or the cross closes it.
const dialog = document.getElementById("enlarged");
const frame = dialog.querySelector("div");
function enlarge(image) {
  const copy = new Image();
  copy.src = image.src;
  copy.alt = image.alt;
  frame.replaceChildren(copy);
  dialog.showModal();
}
for (const image of document.querySelectorAll("figure img")) {
  image.addEventListener("click", () => enlarge(image));
  image.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      enlarge(image);
    }
  });
}
dialog.addEventListener("click", () => dialog.close());

// The link of the chapter that is being read is marked, and kept in sight where the links do not all fit.
const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
const inView = new Set();
const watcher = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) isIntersecting ? inView.add(target.id) : inView.delete(target.id);
    const current = [...links.keys()].find((key) => inView.has(key));
    if (!current || links.get(current).hasAttribute("aria-current")) return;
    links.forEach((link, key) => (key === current ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
    const [link, bar] = [links.get(current), document.querySelector("nav")];
    bar.scrollLeft = link.offsetLeft - (bar.clientWidth - link.offsetWidth) / 2;
  },
  { rootMargin: "-15% 0px -70% 0px" }, // what counts is near the top of the window
);
document.querySelectorAll("main > section").forEach((section) => watcher.observe(section));

// On paper nothing is folded away.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((fold) => (fold.open = true)));
