// Where axes put their ticks and how they word them. No drawing, no state.

const TIMES = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 1209600, 2592000, 7776000, 31536000];

function niceStep(span, count) {
  const raw = span / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(raw));
  const part = raw / power;
  return power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
}

function multiples(from, to, step, offset = 0) {
  const found = [];
  const first = Math.ceil((from - offset) / step - 1e-9);
  for (let n = first; n * step + offset <= to + step * 1e-9 && found.length < 100; n++) found.push(n * step + offset);
  return found;
}

/** At most about `count` round values in from..to. `whole`: never a fraction. */
export function linearTicks(from, to, count, whole = false) {
  if (!(to > from)) return [from];
  const step = niceStep(to - from, count);
  return multiples(from, to, whole ? Math.max(1, step) : step);
}

/** Powers of ten in from..to, both positive; with few of them also their doubles and fivefolds. */
export function logTicks(from, to, count) {
  const low = Math.floor(Math.log10(from));
  const high = Math.ceil(Math.log10(to));
  const skip = Math.max(1, Math.ceil((high - low) / count));
  const parts = high - low <= 2 ? [1, 2, 5] : [1];
  const found = [];
  for (let n = low; n <= high; n += skip) for (const part of parts) found.push(part * 10 ** n);
  const inside = found.filter((value) => value >= from * 0.9999 && value <= to * 1.0001);
  return inside.length >= 2 ? inside : linearTicks(from, to, count);
}

/** Seconds, at full minutes, hours and days; `offset` shifts them to a local midnight. */
export function timeTicks(from, to, count, offset = 0) {
  const raw = (to - from) / Math.max(1, count);
  if (raw < 1) return linearTicks(from, to, count);
  return multiples(from, to, TIMES.find((one) => one >= raw) ?? niceStep(to - from, count), offset);
}

/** The text of a tick, as short as the distance to its neighbours allows; an axis up to `most` is all in powers or all not. */
export function tickText(value, gap, most) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e15 || (most === undefined ? size < 1e-4 : most < 1e-3)) return value.toExponential(2).replace(/\.?0+e/, "e").replace("e+", "e");
  for (const [unit, name] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (size >= unit && (unit > 1e3 || size >= 1e4)) return trimmed(value / unit, gap / unit) + name;
  }
  return trimmed(value, gap);
}

function trimmed(value, gap) {
  const places = gap > 0 && Number.isFinite(gap) ? Math.min(8, Math.max(0, Math.ceil(-Math.log10(gap) - 1e-9))) : 3;
  return value.toFixed(places);
}

/** A moment (seconds since 1970) in local time; `gap`: seconds between ticks, Infinity for all of it. */
export function clockText(seconds, gap) {
  const at = new Date(seconds * 1000);
  if (gap === Infinity) return at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  if (gap >= 86400) return at.toLocaleDateString(undefined, { month: "short", day: "numeric" });
  const midnight = at.getHours() === 0 && at.getMinutes() === 0 && at.getSeconds() === 0;
  if (midnight) return at.toLocaleDateString(undefined, { month: "short", day: "numeric" });
  return at.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: gap < 60 ? "2-digit" : undefined, hourCycle: "h23" });
}
