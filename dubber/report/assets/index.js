"use strict";

const table = document.getElementById("jobs");
const body = table.tBodies[0];
const filter = document.getElementById("filter");
const search = document.getElementById("search");
const counted = document.getElementById("counted");

function keyOf(row, column) {
  const cell = row.cells[column];
  const value = cell.dataset.sort ?? cell.textContent;
  const number = Number(value);
  return value.trim() === "" || Number.isNaN(number) ? value.toLowerCase() : number;
}

function compare(a, b) {
  if (typeof a === typeof b) return a < b ? -1 : Number(a > b);
  return typeof a === "number" ? -1 : 1;
}

function sortBy(header) {
  const isRising = header.getAttribute("aria-sort") !== "ascending";
  for (const other of table.querySelectorAll("th[aria-sort]")) other.setAttribute("aria-sort", "none");
  header.setAttribute("aria-sort", isRising ? "ascending" : "descending");
  const keyed = [...body.rows].map((row) => [keyOf(row, header.cellIndex), row]);
  keyed.sort((a, b) => (isRising ? 1 : -1) * compare(a[0], b[0]));
  body.append(...keyed.map((each) => each[1]));
}

function choose() {
  const words = search.value.toLowerCase();
  let shown = 0;
  for (const row of body.rows) {
    const isKind = filter.value === "all" || row.dataset.kinds.split(" ").includes(filter.value);
    row.hidden = !(isKind && row.textContent.toLowerCase().includes(words));
    shown += Number(!row.hidden);
  }
  counted.textContent = `${shown} of ${body.rows.length} shown`;
}

for (const button of table.querySelectorAll("th button")) {
  button.addEventListener("click", () => sortBy(button.closest("th")));
}
filter.addEventListener("change", choose);
search.addEventListener("input", choose);
document.getElementById("choose").hidden = false;
choose();
