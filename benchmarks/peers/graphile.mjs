// graphile-worker. Options: concurrency, localQueue (0: none), completeJobBatchDelay (-1: no batching).
import { main } from "./common.mjs";

// ES modules ignore NODE_PATH; the harness says where it installed the package.
const { Logger, makeWorkerUtils, run } = await import(process.env.BENCH_MODULES + "/graphile-worker/dist/index.js");

const TASK = "bench";
const logger = new Logger(() => (level, message) => (level === "error" ? console.error(message) : undefined));

await main({
  async setup(spec) {
    const utils = await makeWorkerUtils({ connectionString: spec.url, logger });
    await utils.migrate();
    await utils.release();
  },

  async producer(spec) {
    const utils = await makeWorkerUtils({ connectionString: spec.url, logger });
    return {
      single: (number) => utils.addJob(TASK, { number }),
      batch: (numbers) => utils.addJobs(numbers.map((number) => ({ identifier: TASK, payload: { number } }))),
      close: () => utils.release(),
    };
  },

  async work(spec, tally) {
    const { concurrency, localQueue, completeJobBatchDelay } = spec.options;
    const handle = tally.handler();
    const worker = { connectionString: spec.url, concurrentJobs: concurrency, maxPoolSize: concurrency + 2, completeJobBatchDelay };
    if (localQueue > 0) worker.localQueue = { size: localQueue };
    const runner = await run({
      preset: { worker },
      logger,
      noHandleSignals: true,
      taskList: { [TASK]: (payload) => handle(payload.number) },
    });
    return () => runner.stop();
  },
});
