/** Numbers and names as people read them. */

/** @param {number} share  in [0, 1] */
export function percent(share) {
  const value = share * 100;
  if (value > 0 && value < 1) return "<1\u202f%";
  if (value < 100 && value > 99) return ">99\u202f%";
  return `${Math.round(value)}\u202f%`;
}

/** @param {string} name  of a task or a label, as the contract spells it */
export function plain(name) {
  return name.replaceAll("_", " ");
}

/** @param {number} ms */
export function milliseconds(ms) {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)}\u202fs`;
  return `${ms >= 100 ? Math.round(ms) : ms >= 1 ? ms.toFixed(1) : ms.toFixed(2)}\u202fms`;
}

/** @param {number} count @param {string} one @param {string} [many] */
export function counted(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** @param {number} bytes */
export function size(bytes) {
  if (bytes < 1000) return `${bytes}\u202fB`;
  if (bytes < 1e6) return `${Math.round(bytes / 1e3)}\u202fkB`;
  return `${(bytes / 1e6).toFixed(1)}\u202fMB`;
}

/** @param {number} value @param {number} digits  at most, behind the point */
export function number(value, digits) {
  const rounded = Number(value.toFixed(digits)) + 0; // no minus before a zero
  return rounded.toLocaleString("en", { maximumFractionDigits: digits }).replace("-", "\u2212");
}
