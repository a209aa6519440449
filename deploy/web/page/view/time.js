/** Where the time of the chosen photo's answer went: one bar, and each part's number. */

import { byId, fill, h } from "../dom.js";
import { milliseconds, number, plain } from "../words.js";

/** @import { State } from "../state.js" */

const WAITING = "queue"; // the part in which nothing is done for the photo

/** @param {State} state */
export function showTime(state) {
  const draw = () => {
    const timings = state.chosen?.timings ?? [];
    const total = timings.reduce((sum, { ms }) => sum + ms, 0);
    const faces = state.chosen?.answer?.faces.length ?? 0;
    // Two photos are under way at a time: each waits for the other, which makes neither slower.
    const busy = timings.reduce((sum, { name, ms }) => sum + (name === WAITING ? 0 : ms), 0);
    const rate = faces && busy ? `, ${number((faces / busy) * 1000, 1)} faces a second` : "";
    byId("time-note").textContent = timings.length ? `${milliseconds(total)}${rate}` : "";
    fill(
      byId("time"),
      h(
        "div",
        { class: "split", "aria-hidden": "true" },
        timings.map(({ ms }, index) => {
          const style = { "flex-grow": String(Math.max(0, ms)) };
          return h("i", { class: `part part-${index % 6}`, style });
        }),
      ),
      h(
        "ul",
        { class: "parts", "aria-label": "Parts of the time" },
        timings.map(({ name, ms }, index) =>
          h("li", {}, h("i", { class: `swatch part-${index % 6}`, "aria-hidden": "true" }), plain(name), " ", h("b", {}, milliseconds(ms))),
        ),
      ),
    );
  };
  state.on(["chosen"], draw);
}
