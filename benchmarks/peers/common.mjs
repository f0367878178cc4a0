// What the Node contenders share: the spec, the answers, the tally and the loops that enqueue (as spec.py, tally.py, base.py).
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

const BATCH = 1000;
const NAP_MS = 10;

export const now = () => Number(process.hrtime.bigint()); // CLOCK_MONOTONIC on Linux, as Python's time.monotonic_ns

function answer(spec, event, values) {
  const pipe = openSync(spec.answers, "w");
  let line = Buffer.from(JSON.stringify({ event, ...values }) + "\n");
  while (line.length > 0) line = line.subarray(writeSync(pipe, line));
  closeSync(pipe);
}

export class Tally {
  handled = 0;
  active = 0;
  peak = 0;
  starts = [];

  constructor(spec) {
    this.spec = spec;
  }

  hit() {
    this.handled += 1;
    if (this.handled === 1) answer(this.spec, "first", { at: now() });
    if (this.handled === this.spec.jobs) answer(this.spec, "last", { at: now() });
  }

  handler() {
    return { noop: async () => this.hit(), sleep: () => this.sleep(), latency: async (n) => this.latency(n) }[this.spec.job];
  }

  async sleep() {
    this.hit();
    this.active += 1;
    this.peak = Math.max(this.peak, this.active);
    await pause(NAP_MS);
    this.active -= 1;
  }

  latency(number) {
    this.starts.push([number, now()]);
    this.hit();
  }

  summary() {
    answer(this.spec, "summary", { handled: this.handled, peak: this.peak, starts: this.starts });
  }
}

const range = (from, to) => Array.from({ length: to - from }, (_, index) => from + index);

const loops = {
  async single(producer, spec) {
    for (let number = 0; number < spec.jobs; number += 1) await producer.single(number);
    return [];
  },
  async batch(producer, spec) {
    for (let start = 0; start < spec.jobs; start += BATCH) {
      await producer.batch(range(start, Math.min(start + BATCH, spec.jobs)));
    }
    return [];
  },
  async paced(producer, spec) {
    const sent = [];
    for (const [number, gap] of spec.gaps.entries()) {
      await pause(gap * 1000);
      const before = now();
      await producer.single(number);
      sent.push([before, now()]);
    }
    return sent;
  },
};

async function enqueue(peer, spec) {
  const producer = await peer.producer(spec);
  answer(spec, "ready", {});
  readFileSync(0); // until the harness closes our standard input
  const [start, usage] = [now(), process.cpuUsage()];
  const sent = await loops[spec.mode](producer, spec);
  const [seconds, used] = [(now() - start) / 1e9, process.cpuUsage(usage)];
  answer(spec, "end", { seconds, cpu: (used.user + used.system) / 1e6, sent });
  await producer.close();
}

async function work(peer, spec) {
  const tally = new Tally(spec);
  const asked = new Promise((resolve) => process.once("SIGTERM", resolve));
  const stop = await peer.work(spec, tally);
  await asked;
  await stop();
  tally.summary();
}

export async function main(peer) {
  const spec = JSON.parse(readFileSync(process.argv[2], "utf8"));
  await { setup: () => peer.setup(spec), enqueue: () => enqueue(peer, spec), work: () => work(peer, spec) }[spec.role]();
}
