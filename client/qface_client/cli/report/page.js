"use strict";
// Orders and filters the photos; without it the page shows all of them, most in doubt first.
const sheet = document.getElementById("sheet");
if (sheet) {
  const order = document.getElementById("order");
  const filter = document.getElementById("filter");
  const matches = document.getElementById("matches");
  const cards = [...sheet.children].map((card) => ({ card, text: card.textContent.toLowerCase() }));
  const number = (entry, key) => Number(entry.card.dataset[key]);
  const arrange = () => {
    const key = order.value;
    const sign = key === "place" ? 1 : -1;
    cards.sort((a, b) => sign * (number(a, key) - number(b, key)) || number(a, "place") - number(b, "place"));
    sheet.append(...cards.map((entry) => entry.card));
  };
  const select = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const entry of cards) {
      entry.card.hidden = !words.every((word) => entry.text.includes(word));
      count += !entry.card.hidden;
    }
    matches.textContent = words.length ? `${count} of ${cards.length} photos` : "";
  };
  order.addEventListener("change", arrange);
  filter.addEventListener("input", select);
  document.querySelector(".controls").hidden = false;
  arrange();
  select();
}
