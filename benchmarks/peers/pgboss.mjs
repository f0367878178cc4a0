// pg-boss, with its opt-in LISTEN/NOTIFY. Options: batchSize, localConcurrency, burst (fetch again at once after a full batch).
import { main } from "./common.mjs";

const { PgBoss } = await import(process.env.BENCH_MODULES + "/pg-boss/dist/index.js");

const QUEUE = "bench";

async function open(spec, options = {}) {
  const boss = new PgBoss({ connectionString: spec.url, useListenNotify: true, ...options });
  boss.on("error", (error) => console.error(error));
  await boss.start();
  return boss;
}

await main({
  async setup(spec) {
    const boss = await open(spec);
    await boss.createQueue(QUEUE, { notify: true });
    await boss.stop({ graceful: false });
  },

  async producer(spec) {
    const boss = await open(spec, { supervise: false, schedule: false });
    return {
      single: (number) => boss.send(QUEUE, { number }),
      batch: (numbers) => boss.insert(QUEUE, numbers.map((number) => ({ data: { number } }))),
      close: () => boss.stop({ graceful: false }),
    };
  },

  async work(spec, tally) {
    const { batchSize, localConcurrency, burst } = spec.options;
    const handle = tally.handler();
    const boss = await open(spec);
    const options = { batchSize, localConcurrency, pollingIntervalSeconds: 0.5, burstWhenBatchFull: burst };
    await boss.work(QUEUE, options, (jobs) => Promise.all(jobs.map((job) => handle(job.data.number))));
    return () => boss.stop({ graceful: true, timeout: 5000 });
  },
});
