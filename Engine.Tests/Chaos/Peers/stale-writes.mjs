// Asks graphile-worker, pg-boss and absurd what a worker can still write to a job that another one has taken over: node
// stale-writes.mjs CONNECTION_URL [absurd.sql]. Each is driven by its own library. Says one line of JSON a call: accepted when a row of the job
// has changed, after the takeover was committed (after) and by a call that meets it before (during); null where not tried.
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRequire } from 'node:module';
import pg from 'pg';
import { Absurd } from 'absurd-sdk';
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import { PgBoss } from 'pg-boss';

const [url, absurdSql] = process.argv.slice(2);
const pool = new pg.Pool({ connectionString: url, max: 30 });
const quiet = { log() {}, info() {}, warn() {}, error() {}, debug() {} };
const versionOf = name => createRequire(import.meta.url)(`./node_modules/${name}/package.json`).version;
const say = (peer, call, after, during = null, version = versionOf(peer)) => console.log(JSON.stringify({ peer, version, call, after, during }));
const rowsOf = async (db, tables) => {
  const all = [];
  for (const table of tables) all.push((await db.query(`select coalesce(jsonb_agg(to_jsonb(t) order by to_jsonb(t)::text), '[]') rows from ${table} t`)).rows[0].rows);
  return JSON.stringify(all);
};

// Commits a takeover once the zombie's call waits for it, or has ended without waiting.
async function meet(client, call) {
  let ended = false;
  const zombies = call().catch(() => {}).finally(() => { ended = true; });
  while (!ended && !(await pool.query("select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")).rowCount) await sleep(10);
  await client.query('commit');
  await zombies;
}

// takeOver(db) lets another worker take the job on that connection; call() is the zombie's.
async function ask(peer, call, tables, prepare) {
  const answers = {};
  for (const moment of ['after', 'during']) {
    const { takeOver, write } = await prepare();
    const client = await pool.connect();
    await client.query('begin');
    await takeOver(client);
    const before = await rowsOf(client, tables);
    if (moment === 'after') {
      await client.query('commit');
      await write().catch(() => {});
    } else {
      await meet(client, write);
    }
    answers[moment] = before !== await rowsOf(client, tables);
    client.release();
  }
  say(peer, call, answers.after, answers.during);
}

async function graphileWorker() {
  const logger = new Logger(() => () => {});
  const utils = await makeWorkerUtils({ pgPool: pool, logger });
  await utils.migrate();
  for (const [call, outcome] of [['complete', () => {}], ['fail', () => { throw new Error('stale'); }]]) {
    const held = [];
    const task = (_, helpers) => new Promise((resolve, reject) => held.push({ job: helpers.job, resolve, reject }));
    const start = () => run({ pgPool: pool, logger, concurrency: 1, pollInterval: 50, noHandleSignals: true, taskList: { [`task_${call}`]: task } });
    const holds = async count => { while (held.length < count) await sleep(20); };
    const zombie = await start();
    await utils.addJob(`task_${call}`, {});
    await holds(1);
    // The lock of a worker that is taken for dead is ended by this function, or after four hours.
    await utils.forceUnlockWorkers([held[0].job.locked_by]);
    const other = await start();
    await holds(2);
    if (held[1].job.id !== held[0].job.id || held[1].job.locked_by === held[0].job.locked_by) throw new Error('nobody took the job over');
    const before = await rowsOf(pool, ['graphile_worker._private_jobs']);
    call === 'complete' ? held[0].resolve() : held[0].reject(new Error('stale'));
    await zombie.stop();
    say('graphile-worker', call, before !== await rowsOf(pool, ['graphile_worker._private_jobs']));
    held[1].resolve();
    await other.stop();
  }
  await utils.release();
}

async function pgBoss() {
  const open = async () => {
    const boss = new PgBoss({ connectionString: url, supervise: false, schedule: false, max: 4 });
    boss.on('error', () => {});
    await boss.start();
    return boss;
  };
  const [zombie, other] = [await open(), await open()];
  let number = 0;
  for (const call of ['complete', 'fail', 'touch']) {
    for (const how of ['the job as it was fetched', 'its id alone']) {
      await ask('pg-boss', `${call}, given ${how}`, ['pgboss.job'], async () => {
        const queue = `q${++number}`;
        await zombie.createQueue(queue, { expireInSeconds: 1, retryLimit: 5, retryDelay: 0 });
        await zombie.send(queue, {});
        const [job] = await zombie.fetch(queue);
        await sleep(1100);
        await other.supervise(queue);
        return {
          takeOver: async client => {
            const [taken] = await other.fetch(queue, { db: { executeSql: (text, values) => client.query(text, values) } });
            if (taken?.id !== job.id) throw new Error('nobody took the job over');
          },
          write: () => zombie[call](queue, how === 'its id alone' ? job.id : job),
        };
      });
    }
  }
  await zombie.stop({ graceful: false });
  await other.stop({ graceful: false });
}

async function absurd() {
  await pool.query(await readFile(absurdSql, 'utf8'));
  const schema = (await pool.query('select absurd.get_schema_version() v')).rows[0].v;
  if (schema !== versionOf('absurd-sdk')) throw new Error(`${absurdSql} is of release ${schema}; the package is ${versionOf('absurd-sdk')}`);
  let number = 0;
  const never = new Promise(() => {});
  const tablesOf = queueName => ['r', 't', 'c', 'w'].map(kind => `absurd.${kind}_${queueName}`);
  const claim = async (client, queueName) => {
    // As its worker polls: the first claim ends what has expired, a later one takes it.
    const other = new Absurd({ db: client, queueName, log: quiet });
    for (let polls = 0; (await other.claimTasks({ workerId: 'other', claimTimeout: 60 })).length !== 1; polls++) {
      if (polls > 20) throw new Error('nobody took the task over');
      await sleep(20);
    }
  };
  // The task's code waits until its claim has expired and another worker has the task. Then it does the one call.
  const calls = {
    complete: async () => 1,
    fail: async () => { throw new Error('stale'); },
    checkpoint: async (context, done) => { await context.step('one', async () => 1).then(done, done); await never; },
    heartbeat: async (context, done) => { await context.heartbeat(60).then(done, done); await never; },
    sleep: async context => context.sleepUntil('nap', new Date(0)),
  };
  for (const [call, code] of Object.entries(calls)) {
    const tables = [];
    await ask('absurd-sdk', call, tables, async () => {
      const queueName = `q${++number}`;
      tables.splice(0, 4, ...tablesOf(queueName));
      const [held, goes, done] = [deferred(), deferred(), deferred()];
      const zombie = new Absurd({ db: pool, queueName, log: quiet });
      await zombie.createQueue(queueName);
      zombie.registerTask({ name: 'task' }, async (_, context) => { held.resolve(); await goes.promise; return code(context, done.resolve); });
      await zombie.spawn('task', {});
      const ended = zombie.workBatch('zombie', 1, 1);
      await held.promise;
      await sleep(1100);
      return { takeOver: client => claim(client, queueName), write: () => { goes.resolve(); return Promise.race([ended, done.promise]); } };
    });
  }

  // A sleep gives the task back, and the next claim has the same run id. When the answer of the sleep is lost, the library
  // reports a failure of the run; by then another worker has it.
  const queueName = `q${++number}`;
  let before;
  const lossy = {
    query: async (text, values) => {
      const answer = await pool.query(text, values);
      if (!text.includes('schedule_run')) return answer;
      await claim(pool, queueName);
      before = await rowsOf(pool, tablesOf(queueName));
      throw new Error('the connection broke');
    },
  };
  const zombie = new Absurd({ db: lossy, queueName, log: quiet });
  await zombie.createQueue(queueName);
  zombie.registerTask({ name: 'task' }, async (_, context) => context.sleepUntil('nap', new Date(0)));
  await zombie.spawn('task', {});
  await zombie.workBatch('zombie', 60, 1);
  say('absurd-sdk', 'fail, after a sleep whose answer was lost', before !== await rowsOf(pool, tablesOf(queueName)));
}

function deferred() {
  let resolve;
  const promise = new Promise(yes => { resolve = yes; });
  return { promise, resolve };
}

await graphileWorker();
await pgBoss();
if (absurdSql) await absurd();
await pool.end();
