// Drains no-op jobs, or workflows of ten steps, with another engine: node peer-bench.mjs PEER jobs|steps COUNT CONNECTION_URL
// [absurd.sql]. Says one line of JSON: the peer, its version and what it did a second. As of ours, the code is warm, what is
// measured is durable at its beginning, and the clock stops when the database says that nothing is left.
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRequire } from 'node:module';
import pg from 'pg';

const [peer, work, number, url, absurdSql] = process.argv.slice(2);
const count = Number(number);
const steps = work === 'steps' ? 10 : 0;
const pool = new pg.Pool({ connectionString: url, max: 4 });
const versionOf = name => createRequire(import.meta.url)(`./node_modules/${name}/package.json`).version;
const finished = async (sql, values = []) => { while (!(await pool.query(sql, values)).rows[0].done) await sleep(20); };
const say = (name, seconds) => console.log(JSON.stringify({ peer: name, version: versionOf(name), rate: count * Math.max(steps, 1) / seconds }));
const seconds = async body => { const start = performance.now(); await body(); return (performance.now() - start) / 1000; };

// All at once, so many at a time.
async function each(total, width, body) {
  let next = 0;
  await Promise.all(Array.from({ length: width }, async () => { while (next < total) await body(next++); }));
}

// Its page on performance: 24 at once, 25 connections, a local queue of 500, completions and failures in batches.
async function graphileWorker() {
  const { Logger, makeWorkerUtils, run } = await import('graphile-worker');
  const logger = new Logger(() => () => {});
  const utils = await makeWorkerUtils({ connectionString: url, logger });
  await utils.migrate();
  const add = jobs => pool.query(
    `select count(*) from graphile_worker.add_jobs(array(select ('noop', '{}'::json, null, null, null, null, null, null)::graphile_worker.job_spec from generate_series(1, $1::int)))`, [jobs]);
  const done = () => finished('select not exists (select from graphile_worker._private_jobs) as done');
  const runner = await run({
    preset: { worker: { connectionString: url, concurrentJobs: 24, maxPoolSize: 25, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
    logger, noHandleSignals: true, taskList: { noop: async () => {} },
  });
  for (let warm = 0; warm < 4; warm++) { await add(2500); await done(); }
  const client = await pool.connect();
  await client.query('begin');
  await client.query(
    `select count(*) from graphile_worker.add_jobs(array(select ('noop', '{}'::json, null, null, null, null, null, null)::graphile_worker.job_spec from generate_series(1, $1::int)))`, [count]);
  const took = await seconds(async () => { await client.query('commit'); await done(); });
  client.release();
  say('graphile-worker', took);
  await runner.stop();
  await utils.release();
}

// Its guide: tasks in parallel by concurrency, so many claimed at once, and what it says of pools: one connection for each.
async function absurd() {
  const { Absurd } = await import('absurd-sdk');
  await pool.query(await readFile(absurdSql, 'utf8'));
  const quiet = { log() {}, info() {}, warn() {}, error() {}, debug() {} };
  const app = new Absurd({ db: new pg.Pool({ connectionString: url, max: 34 }), queueName: 'bench', log: quiet });
  await app.createQueue('bench');
  app.registerTask({ name: 'task' }, async (_, context) => {
    let sum = 0;
    for (let step = 0; step < steps; step++) sum = await context.step(`add ${step}`, async () => sum + 1);
    return sum;
  });
  const spawn = tasks => each(tasks, 16, () => app.spawn('task', {}));
  const done = tasks => finished("select count(*) >= $1 as done from absurd.t_bench where state = 'completed'", [tasks]);
  const start = () => app.startWorker({ concurrency: 32, batchSize: 32, pollInterval: 0.01, claimTimeout: 120 });
  const warm = 200;
  await spawn(warm);
  let worker = await start();
  await done(warm);
  await worker.close();
  await spawn(count);
  say('absurd-sdk', await seconds(async () => { worker = await start(); await done(warm + count); }));
  await worker.close();
  await app.close();
}

// Workflows started directly, as its guide does where no queue is asked for: half of the writes of one that waits in a queue.
async function dbos() {
  const { DBOS } = await import('@dbos-inc/dbos-sdk');
  DBOS.setConfig({ name: 'bench', systemDatabaseUrl: url, systemDatabasePoolSize: 32, logLevel: 'error' });
  const workflow = DBOS.registerWorkflow(async () => {
    let sum = 0;
    for (let step = 0; step < steps; step++) sum = await DBOS.runStep(async () => sum + 1, { name: 'add' });
    return sum;
  }, { name: 'workflow' });
  await DBOS.launch();
  const drain = workflows => each(workflows, 64, () => workflow());
  await drain(200);
  say('@dbos-inc/dbos-sdk', await seconds(() => drain(count)));
  await DBOS.shutdown();
}

await { 'graphile-worker': graphileWorker, absurd, dbos }[peer]();
await pool.end();
process.exit(0);
