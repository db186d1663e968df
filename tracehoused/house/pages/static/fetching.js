// Buckets of series from the house: requests of charts that come into view at the same time travel together.
import { getJson } from "./app.js";

const KEYS_AT_ONCE = 8;

export class Fetching {
  constructor(runs) {
    this.runs = runs;
    this.waiting = new Map();
  }

  /** The series of a key over all runs: [{run, attempt, writer, buckets, nonfinite}, …]; `first`, `last`: steps or null. */
  series(key, buckets, first, last) {
    const group = JSON.stringify([buckets, first, last]);
    if (!this.waiting.has(group)) {
      this.waiting.set(group, new Map());
      setTimeout(() => this.send(group, { buckets, first, last }));
    }
    const keys = this.waiting.get(group);
    if (!keys.has(key)) {
      const made = {};
      made.promise = new Promise((done, failed) => Object.assign(made, { done, failed }));
      keys.set(key, made);
    }
    return keys.get(key).promise;
  }

  send(group, params) {
    const asked = [...this.waiting.get(group)];
    this.waiting.delete(group);
    for (let at = 0; at < asked.length; at += KEYS_AT_ONCE) this.sendPart(asked.slice(at, at + KEYS_AT_ONCE), params);
  }

  async sendPart(asked, params) {
    const keys = asked.map(([key]) => key);
    try {
      const answers = await Promise.all(
        this.runs.map((run) => getJson(`/v1/runs/${run.id}/metrics`, { key: keys, ...params })),
      );
      const all = answers.flatMap((answer, i) => answer.series.map((one) => ({ ...one, run: this.runs[i].id })));
      for (const [key, { done }] of asked) done(all.filter((one) => one.key === key));
    } catch (error) {
      for (const [, { failed }] of asked) failed(error);
    }
  }
}
