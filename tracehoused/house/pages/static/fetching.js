// Buckets of series from the house: requests of charts that come into view at the same time travel together.
import { getJson } from "./app.js";

const SERIES_AT_ONCE = 24;

export class Fetching {
  constructor(runs) {
    this.runs = runs;
    this.waiting = new Map();
  }

  /** Series by their numbers: [{id, buckets, nonfinite}, …]; `first`, `last`: steps, or null for no bound. */
  series(numbers, buckets, first, last) {
    const group = JSON.stringify([buckets, first, last]);
    if (!this.waiting.has(group)) {
      this.waiting.set(group, []);
      setTimeout(() => this.send(group, { buckets, first, last }));
    }
    return new Promise((done, failed) => this.waiting.get(group).push({ numbers, done, failed }));
  }

  send(group, params) {
    const asked = this.waiting.get(group);
    this.waiting.delete(group);
    while (asked.length) {
      let many = 0;
      const fit = asked.findIndex(({ numbers }) => (many += numbers.length) > SERIES_AT_ONCE);
      this.sendPart(asked.splice(0, fit < 0 ? asked.length : Math.max(1, fit)), params);
    }
  }

  async sendPart(asked, params) {
    try {
      const series = asked.flatMap(({ numbers }) => numbers);
      const answer = await getJson("/data/series", { run: this.runs.map((run) => run.id), series, ...params });
      const byNumber = new Map(answer.series.map((one) => [String(one.id), one]));
      for (const { numbers, done } of asked) done(numbers.flatMap((one) => byNumber.get(one) ?? []));
    } catch (error) {
      for (const { failed } of asked) failed(error);
    }
  }
}
