// From the store's buckets to lines that can be drawn: x by step or time, gaps, marks, smoothing. No drawing.

const MID = 0.5;

/** A line: {x, y, low, high: Float64Array, cut: Uint8Array (1: no stroke from the point before), marks: [{x, name}],
 *  rows: the bucket of each point, count, span: [from, to] in x, or null where it is empty}. `series` is {buckets, nonfinite} of the house; `began` the run's start in seconds, for relative time. */
export function toLine(series, mode, began) {
  const rows = series.buckets;
  const at = (row) => (mode === "step" ? (row[0] + row[1]) * MID : (row[6] + row[7]) * MID * 1e-6 - (mode === "relative" ? began : 0));
  const made = {
    x: new Float64Array(rows.length), y: new Float64Array(rows.length), low: new Float64Array(rows.length),
    high: new Float64Array(rows.length), cut: new Uint8Array(rows.length), marks: [], count: 0,
  };
  const order = rows.map((_, i) => i);
  const xs = rows.map(at);
  // A writer that went back to an earlier step comes by step from the store, and by time it is drawn by time.
  if (mode !== "step" && xs.some((x, i) => i > 0 && x < xs[i - 1])) order.sort((a, b) => xs[a] - xs[b]);
  order.forEach((from, i) => {
    const [, , least, most, mean, count] = rows[from];
    made.x[i] = xs[from];
    made.low[i] = least;
    made.high[i] = most;
    made.y[i] = mean ?? (least + most) * MID;
    made.count += count;
  });
  cutAtMarks(made, rows, order, series.nonfinite);
  made.rows = order.map((from) => rows[from]);
  made.span = spanOf(made, rows, mode);
  return made;
}

/** In steps from the first bucket's begin to the last one's end, so that round numbers stay at the edges. */
function spanOf(line, rows, mode) {
  const ends = line.marks.map((mark) => mark.x);
  if (rows.length) ends.push(...(mode === "step" ? [rows[0][0], rows[rows.length - 1][1]] : [line.x[0], line.x[rows.length - 1]]));
  return ends.length ? [Math.min(...ends), Math.max(...ends)] : null;
}

function cutAtMarks(line, rows, order, nonfinite) {
  for (const [step, name] of nonfinite) {
    let after = lowerBound(rows, step);
    if (after < rows.length && rows[after][0] === step) after += 1;
    const next = order.indexOf(after);
    if (after > 0 && next >= 0) line.cut[next] = 1;
    line.marks.push({ x: between(line, rows, order, after, step), name, step });
  }
}

/** The first row whose end is at or after the step. */
function lowerBound(rows, step) {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle][0] < step) low = middle + 1;
    else high = middle;
  }
  return low;
}

function between(line, rows, order, after, step) {
  if (rows.length === 0) return step;
  const xOf = (row) => line.x[order.indexOf(row)];
  if (after === 0) return xOf(0);
  if (after >= rows.length) return xOf(rows.length - 1);
  const from = (rows[after - 1][0] + rows[after - 1][1]) * MID;
  const to = (rows[after][0] + rows[after][1]) * MID;
  const share = to > from ? Math.min(1, Math.max(0, (step - from) / (to - from))) : 0;
  return xOf(after - 1) + share * (xOf(after) - xOf(after - 1));
}

/** The exponential moving average of `values`, corrected for its start. */
export function smoothed(values, weight) {
  const made = new Float64Array(values.length);
  let sum = 0;
  let share = 0;
  for (let i = 0; i < values.length; i++) {
    sum = weight * sum + (1 - weight) * values[i];
    share = weight * share + (1 - weight);
    made[i] = sum / share;
  }
  return made;
}

/** The index of the x nearest to `wanted` in a sorted array; -1 where there is none. */
export function nearest(xs, wanted) {
  if (xs.length === 0) return -1;
  let low = 0;
  let high = xs.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] < wanted) low = middle;
    else high = middle;
  }
  return Math.abs(xs[low] - wanted) <= Math.abs(xs[high] - wanted) ? low : high;
}

/** [least, most] of x over lines, or null where there is nothing. */
export function extent(lines) {
  let from = Infinity;
  let to = -Infinity;
  for (const { line } of lines) {
    if (!line.span) continue;
    from = Math.min(from, line.span[0]);
    to = Math.max(to, line.span[1]);
  }
  return from <= to ? [from, to] : null;
}

/** [least, most] of what is drawn between from and to; on a log scale of what is positive. Null where nothing is. */
export function range(lines, from, to, log) {
  let least = Infinity;
  let most = -Infinity;
  for (const { line } of lines) {
    for (let i = 0; i < line.x.length; i++) {
      if (line.x[i] < from || line.x[i] > to) continue;
      const low = log && line.low[i] <= 0 ? line.y[i] : line.low[i];
      if (!log || low > 0) least = Math.min(least, low);
      if (!log || line.high[i] > 0) most = Math.max(most, line.high[i]);
    }
  }
  if (!(least <= most)) return least === Infinity && most === -Infinity ? null : [most, most];
  return [least, most];
}
