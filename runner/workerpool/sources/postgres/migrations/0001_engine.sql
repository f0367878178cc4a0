-- The Postgres engine. One narrow hot table with one btree; finishing moves a row out of it. No foreign key, trigger or
-- GIN index on the hot path. Five functions are the contract with every client: enqueue, claim, finish, extend, release.
-- Functions pin their plans to the index (enable_* off), so that a table that was empty at the last ANALYZE and holds a
-- million rows now is still read through it. Where given jobs are looked up, LATERAL with LIMIT fixes the order of the
-- join: a planner that believes nobody holds a lease would else walk the table and the given list against each other.

create schema if not exists workerpool;

create table workerpool.queue (
  id int generated always as identity primary key,
  name text not null unique check (length(name) between 1 and 255),
  history boolean not null default true,
  completed bigint not null default 0,
  failed bigint not null default 0,
  dead bigint not null default 0
);
comment on column workerpool.queue.history is 'Keep finished jobs (retention: workerpool.maintain). Off saves about half of the WAL.';
comment on column workerpool.queue.completed is 'Of runners that have ended; the total is this plus workerpool.stat.';

create table workerpool.subscription (
  topic text not null,
  queue_id int not null,
  primary key (topic, queue_id)
);

create sequence workerpool.job_id as bigint cache 1;

-- boot and claim together are the fencing token: the runner process and the number of its claim. Both null: ready.
-- fillfactor 45: claiming a whole page of fresh jobs then stays on that page and touches no index.
-- marked: a job that crashed before was about to start under this lease (see mark); only then is it charged again.
create table workerpool.job (
  id bigint not null default nextval('workerpool.job_id'),
  enqueued_at timestamptz not null default now(),
  available_at timestamptz not null default now(),
  expires_at timestamptz,
  lease_until timestamptz,
  boot uuid,
  claim int,
  queue_id int not null,
  priority smallint not null default 0,
  attempts smallint not null default 0,
  crashes smallint not null default 0,
  marked boolean,
  unique_key text,
  headers json,
  payload json not null
) with (
  fillfactor = 45,
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000, autovacuum_vacuum_cost_delay = 0,
  autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 100000,
  autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 50000
);
create unique index job_claim on workerpool.job (queue_id, priority desc, id);

-- Jobs due later, retries included; promote() moves them to the hot table.
create table workerpool.delayed (
  due_at timestamptz not null,
  id bigint not null,
  enqueued_at timestamptz not null,
  expires_at timestamptz,
  queue_id int not null,
  priority smallint not null,
  attempts smallint not null,
  crashes smallint not null,
  unique_key text,
  last_error text,
  headers json,
  payload json not null,
  primary key (queue_id, due_at, id)
);

create table workerpool.unique_key (
  queue_id int not null,
  key text not null,
  job_id bigint not null,
  primary key (queue_id, key)
);

create table workerpool.dead (
  id bigint primary key,
  queue_id int not null,
  died_at timestamptz not null default now(),
  enqueued_at timestamptz not null,
  reason text not null,
  error text not null,
  worker text,
  priority smallint not null,
  attempts smallint not null,
  crashes smallint not null,
  forwarded_to text,
  headers json,
  payload json not null
);
create index dead_queue on workerpool.dead (queue_id, id);

-- Append-only, one partition a day (made and dropped by maintain).
create table workerpool.history (
  id bigint not null,
  queue_id int not null,
  state text not null,
  priority smallint not null,
  attempts smallint not null,
  crashes smallint not null,
  enqueued_at timestamptz not null,
  available_at timestamptz not null,
  started_at timestamptz not null,
  finished_at timestamptz not null,
  boot uuid,
  error text,
  result json,
  headers json,
  payload json
) partition by range (finished_at);
create index history_id on workerpool.history (id);
create table workerpool.history_default partition of workerpool.history default;

create table workerpool.event (
  job_id bigint not null,
  at timestamptz not null default clock_timestamp(),
  attempt smallint not null,
  state text not null,
  progress smallint,
  data json
);
create index event_job on workerpool.event (job_id, at);
create index event_at on workerpool.event using brin (at);

-- What each runner finished, added up by itself once a second: one writer a row, a row per runner and queue.
-- farewell() folds the rows of a runner that ended into queue.
create table workerpool.stat (
  queue_id int not null,
  boot uuid not null,
  completed bigint not null,
  failed bigint not null,
  dead bigint not null,
  primary key (queue_id, boot)
) with (fillfactor = 50);

create table workerpool.upkeep (ran_at timestamptz not null);
insert into workerpool.upkeep values ('-infinity');

-- One row per runner process and boot: who is alive and what it holds.
create table workerpool.runner (
  boot uuid primary key,
  name text not null,
  host text not null,
  pid int not null,
  queues text[] not null,
  slots int not null,
  busy int not null default 0,
  version text not null,
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default now()
) with (fillfactor = 50);

create function workerpool.queue_id(p_name text) returns int
language plpgsql set search_path = workerpool, pg_temp as $$
declare
  v_id int;
begin
  select q.id into v_id from queue q where q.name = p_name;
  if v_id is null then
    insert into queue (name) values (p_name) on conflict (name) do nothing returning queue.id into v_id;
    if v_id is null then
      select q.id into v_id from queue q where q.name = p_name;
    end if;
  end if;
  return v_id;
end $$;

create function workerpool.subscribe(p_topic text, p_queue text) returns int
language plpgsql set search_path = workerpool, pg_temp as $$
declare
  v_id int := workerpool.queue_id(p_queue);
begin
  insert into subscription (topic, queue_id) values (p_topic, v_id) on conflict do nothing;
  return v_id;
end $$;

-- The queues that get a copy of what is sent to a name: its subscribers, or the queue of that name.
create function workerpool.targets(p_topic text) returns int[]
language plpgsql set search_path = workerpool, pg_temp as $$
declare
  v_ids int[];
begin
  select array_agg(s.queue_id order by s.queue_id) into v_ids from subscription s where s.topic = p_topic;
  return coalesce(v_ids, array[workerpool.queue_id(p_topic)]);
end $$;

-- Wakes whoever consumes these queues, at commit: the payload is the queue's name.
create function workerpool.notify(p_queues int[]) returns void
language sql set search_path = workerpool, pg_temp as $$
  select pg_notify('workerpool', q.name) from queue q where q.id = any (p_queues)
$$;

-- Enqueues many jobs; each option is null or an array as long as the payloads. Delays and expiry are seconds from now.
-- Returns, per payload and in order, the id in the first target queue and whether its unique key was taken.
create function workerpool.enqueue_many(
  p_queue text, p_payloads json[], p_priorities smallint[] default null, p_delays float8[] default null,
  p_expires_in float8[] default null, p_unique_keys text[] default null, p_headers json[] default null,
  p_notify boolean default false
) returns table (id bigint, duplicate boolean)
language plpgsql set search_path = workerpool, pg_temp as $$
#variable_conflict use_column
declare
  v_targets int[] := workerpool.targets(p_queue);
  v_target int;
  v_first boolean := true;
begin
  if p_notify then
    perform workerpool.notify(v_targets);
  end if;
  foreach v_target in array v_targets loop
    if p_unique_keys is null and p_delays is null then
      if v_first then
        return query
          insert into job (queue_id, priority, expires_at, headers, payload)
          select v_target, coalesce(p_priorities[g.n], 0::smallint), now() + p_expires_in[g.n] * interval '1 second',
                 p_headers[g.n], g.payload
          from unnest(p_payloads) with ordinality as g(payload, n)
          returning job.id, false;
      else
        insert into job (queue_id, priority, expires_at, headers, payload)
        select v_target, coalesce(p_priorities[g.n], 0::smallint), now() + p_expires_in[g.n] * interval '1 second',
               p_headers[g.n], g.payload
        from unnest(p_payloads) with ordinality as g(payload, n);
      end if;
    elsif v_first then
      return query select * from workerpool.enqueue_keyed(
        v_target, p_payloads, p_priorities, p_delays, p_expires_in, p_unique_keys, p_headers);
    else
      perform workerpool.enqueue_keyed(
        v_target, p_payloads, p_priorities, p_delays, p_expires_in, p_unique_keys, p_headers);
    end if;
    v_first := false;
  end loop;
end $$;

-- The path of enqueue_many for one queue when some job has a unique key or a delay.
create function workerpool.enqueue_keyed(
  p_target int, p_payloads json[], p_priorities smallint[], p_delays float8[],
  p_expires_in float8[], p_unique_keys text[], p_headers json[]
) returns table (id bigint, duplicate boolean)
language plpgsql set search_path = workerpool, pg_temp as $$
#variable_conflict use_column
declare
  v_n int;
  v_id bigint;
  v_taken bigint;
  v_due timestamptz;
begin
  for v_n in 1 .. coalesce(array_length(p_payloads, 1), 0) loop
    v_id := nextval('workerpool.job_id');
    if p_unique_keys[v_n] is not null then
      v_taken := null;
      loop
        insert into unique_key (queue_id, key, job_id) values (p_target, p_unique_keys[v_n], v_id)
        on conflict do nothing;
        exit when found;
        select u.job_id into v_taken from unique_key u where u.queue_id = p_target and u.key = p_unique_keys[v_n];
        exit when found; -- else its job finished in between: the key is free now
      end loop;
      if v_taken is not null then
        id := v_taken;
        duplicate := true;
        return next;
        continue;
      end if;
    end if;
    v_due := now() + greatest(coalesce(p_delays[v_n], 0), 0) * interval '1 second';
    if v_due > now() then
      insert into delayed (due_at, id, enqueued_at, expires_at, queue_id, priority, attempts, crashes, unique_key,
                           headers, payload)
      values (v_due, v_id, now(), now() + p_expires_in[v_n] * interval '1 second', p_target,
              coalesce(p_priorities[v_n], 0::smallint), 0, 0, p_unique_keys[v_n], p_headers[v_n], p_payloads[v_n]);
    else
      insert into job (id, queue_id, priority, expires_at, unique_key, headers, payload)
      values (v_id, p_target, coalesce(p_priorities[v_n], 0::smallint),
              now() + p_expires_in[v_n] * interval '1 second', p_unique_keys[v_n], p_headers[v_n], p_payloads[v_n]);
    end if;
    id := v_id;
    duplicate := false;
    return next;
  end loop;
end $$;

-- One job, for any client: select * from workerpool.enqueue('queue', '{"a": 1}'). Wakes a sleeping runner at commit
-- unless p_notify is false (NOTIFY takes a lock at commit: busy producers send it afterwards, at most once in a while).
create function workerpool.enqueue(
  p_queue text, p_payload json, p_priority smallint default 0, p_delay float8 default 0,
  p_expires_in float8 default null, p_unique_key text default null, p_headers json default null,
  p_notify boolean default true
) returns table (id bigint, duplicate boolean)
language plpgsql set search_path = workerpool, pg_temp as $$
#variable_conflict use_column
declare
  v_targets int[] := workerpool.targets(p_queue);
begin
  -- The plain job, which most are, takes one INSERT.
  if array_length(v_targets, 1) = 1 and p_unique_key is null and p_delay <= 0 then
    if p_notify then
      perform workerpool.notify(v_targets);
    end if;
    insert into job (queue_id, priority, expires_at, headers, payload)
    values (v_targets[1], p_priority, now() + p_expires_in * interval '1 second', p_headers, p_payload)
    returning job.id into id;
    duplicate := false;
    return next;
    return;
  end if;
  return query select * from workerpool.enqueue_many(
    p_queue, array[p_payload],
    case when p_priority <> 0 then array[p_priority] end,
    case when p_delay > 0 then array[p_delay] end,
    case when p_expires_in is not null then array[p_expires_in] end,
    case when p_unique_key is not null then array[p_unique_key] end,
    case when p_headers is not null then array[p_headers] end, p_notify);
end $$;

-- Leases up to p_limits[n] jobs of each queue, highest priority and oldest first. A job whose lease ran out is claimed
-- again in its old place and charged one crash (once it has crashed, only when it was marked as about to start).
create function workerpool.claim(p_boot uuid, p_claim int, p_queues int[], p_limits int[], p_lease interval)
returns table (queue_id int, id bigint, attempts smallint, crashes smallint, priority smallint, payload json,
               headers json, waited float8, expired boolean)
language plpgsql
set search_path = workerpool, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off as $$
#variable_conflict use_column
begin
  return query
    with picked as materialized (
      select head.ctid as at
      from unnest(p_queues, p_limits) as wanted(queue_id, n)
      cross join lateral (
        select j.ctid
        from job j
        where j.queue_id = wanted.queue_id and (j.boot is null or j.lease_until < now())
        order by j.priority desc, j.id
        limit wanted.n
        for update of j skip locked
      ) head
    )
    update job j
    set boot = p_boot, claim = p_claim, lease_until = now() + p_lease,
        crashes = case when j.boot is not null and (j.crashes = 0 or j.marked) then j.crashes + 1 else j.crashes end,
        marked = null
    from picked
    where j.ctid = picked.at
    returning j.queue_id, j.id, j.attempts, j.crashes, j.priority, j.payload, j.headers,
              extract(epoch from now() - j.available_at)::float8, coalesce(j.expires_at <= now(), false);
end $$;

-- Settles a batch: arrays in parallel, sorted by id. p_ms: how long each handler ran. p_outcomes, when some job has more
-- to say than "completed": null (completed), completed, retry (after p_delays seconds), dead (p_reasons) or expired.
-- The last three arrays are messages to publish for those of p_output_ids that were finished here.
-- Returns the ids whose lease was lost; for those nothing was changed.
create function workerpool.finish(
  p_boot uuid, p_queues int[], p_priorities smallint[], p_ids bigint[], p_claims int[], p_ms int[],
  p_outcomes text[] default null, p_delays float8[] default null, p_reasons text[] default null,
  p_errors text[] default null, p_workers text[] default null, p_results json[] default null,
  p_output_ids bigint[] default null, p_topics text[] default null, p_payloads json[] default null
) returns bigint[]
language plpgsql
set search_path = workerpool, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off as $$
#variable_conflict use_column
declare
  v_gone bigint[];
  v_closed bigint[] := '{}';
  v_history boolean := exists (select from queue q where q.id = any (p_queues) and q.history);
begin
  if p_outcomes is not null then
    return workerpool.finish_routed(p_boot, p_queues, p_priorities, p_ids, p_claims, p_ms, p_outcomes, p_delays,
                                    p_reasons, p_errors, p_workers, p_results, p_output_ids, p_topics, p_payloads);
  end if;
  -- The second pass is for rows whose lease was being renewed during the first: their place had changed.
  for v_pass in 1 .. 2 loop
    if v_history then
      with gone as (
        delete from job j
        using unnest(p_queues, p_priorities, p_ids, p_claims, p_ms) as g(queue_id, priority, id, claim, ms)
        cross join lateral (
          select h.ctid as at from job h
          where h.queue_id = g.queue_id and h.priority = g.priority and h.id = g.id limit 1
        ) place
        where j.ctid = place.at and j.id = g.id and j.boot = p_boot and j.claim = g.claim
        returning j.*, g.ms
      ), kept as (
        insert into history (id, queue_id, state, priority, attempts, crashes, enqueued_at, available_at, started_at,
                             finished_at, boot, headers, payload)
        select id, queue_id, 'completed', priority, attempts, crashes, enqueued_at, available_at,
               now() - ms * interval '1 millisecond', now(), boot, headers, payload
        from gone
        where (select q.history from queue q where q.id = gone.queue_id)
      ), freed as (
        delete from unique_key u using gone
        where gone.unique_key is not null and u.queue_id = gone.queue_id and u.key = gone.unique_key
      )
      select array_agg(id) into v_gone from gone;
    else
      with gone as (
        delete from job j
        using unnest(p_queues, p_priorities, p_ids, p_claims) as g(queue_id, priority, id, claim)
        cross join lateral (
          select h.ctid as at from job h
          where h.queue_id = g.queue_id and h.priority = g.priority and h.id = g.id limit 1
        ) place
        where j.ctid = place.at and j.id = g.id and j.boot = p_boot and j.claim = g.claim
        returning j.id, j.queue_id, j.unique_key
      ), freed as (
        delete from unique_key u using gone
        where gone.unique_key is not null and u.queue_id = gone.queue_id and u.key = gone.unique_key
      )
      select array_agg(id) into v_gone from gone;
    end if;
    v_closed := v_closed || v_gone;
    if array_length(v_closed, 1) = array_length(p_ids, 1) then
      return '{}';
    end if;
  end loop;
  return array(select unnest(p_ids) except select unnest(v_closed));
end $$;

create function workerpool.finish_routed(
  p_boot uuid, p_queues int[], p_priorities smallint[], p_ids bigint[], p_claims int[], p_ms int[],
  p_outcomes text[], p_delays float8[], p_reasons text[], p_errors text[], p_workers text[], p_results json[],
  p_output_ids bigint[], p_topics text[], p_payloads json[]
) returns bigint[]
language plpgsql
set search_path = workerpool, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off as $$
#variable_conflict use_column
declare
  v_gone bigint[];
  v_closed bigint[] := '{}';
  v_topic text;
begin
  for v_pass in 1 .. 2 loop
    with gone as (
      delete from job j
      using unnest(p_queues, p_priorities, p_ids, p_claims) with ordinality as g(queue_id, priority, id, claim, n)
      cross join lateral (
        select h.ctid as at from job h
        where h.queue_id = g.queue_id and h.priority = g.priority and h.id = g.id limit 1
      ) place
      where j.ctid = place.at and j.id = g.id and j.boot = p_boot and j.claim = g.claim
      returning j.*, g.n, coalesce(p_outcomes[g.n], 'completed') as outcome
    ), retried as (
      insert into delayed (due_at, id, enqueued_at, expires_at, queue_id, priority, attempts, crashes, unique_key,
                           last_error, headers, payload)
      select now() + coalesce(p_delays[n], 0) * interval '1 second', id, enqueued_at, expires_at, queue_id, priority,
             attempts + 1, crashes, unique_key, p_errors[n], headers, payload
      from gone where outcome = 'retry'
    ), buried as (
      insert into dead (id, queue_id, enqueued_at, reason, error, worker, priority, attempts, crashes, forwarded_to,
                        headers, payload)
      select id, queue_id, enqueued_at, p_reasons[n], p_errors[n], p_workers[n], priority, attempts, crashes,
             p_topics[array_position(p_output_ids, id)], headers, payload
      from gone where outcome = 'dead'
    ), kept as (
      insert into history (id, queue_id, state, priority, attempts, crashes, enqueued_at, available_at, started_at,
                           finished_at, boot, error, result, headers, payload)
      select id, queue_id, outcome, priority, attempts, crashes, enqueued_at, available_at,
             now() - p_ms[n] * interval '1 millisecond', now(), boot, p_errors[n], p_results[n], headers, payload
      from gone
      where outcome <> 'retry' and (select q.history from queue q where q.id = gone.queue_id)
    ), freed as (
      delete from unique_key u using gone
      where gone.unique_key is not null and gone.outcome <> 'retry'
        and u.queue_id = gone.queue_id and u.key = gone.unique_key
    )
    select array_agg(id) into v_gone from gone;
    v_closed := v_closed || v_gone;
    exit when array_length(v_closed, 1) = array_length(p_ids, 1);
  end loop;

  for v_topic in
    select distinct o.topic from unnest(p_output_ids, p_topics) as o(id, topic) where o.id = any (v_closed)
  loop
    perform workerpool.enqueue_many(v_topic, array(
      select o.payload from unnest(p_output_ids, p_topics, p_payloads) as o(id, topic, payload)
      where o.topic = v_topic and o.id = any (v_closed)), p_notify => true);
  end loop;
  return array(select unnest(p_ids) except select unnest(v_closed));
end $$;

-- Renews leases; returns the ids that this runner no longer holds.
create function workerpool.extend(
  p_boot uuid, p_queues int[], p_priorities smallint[], p_ids bigint[], p_claims int[], p_lease interval
) returns bigint[]
language plpgsql
set search_path = workerpool, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off as $$
#variable_conflict use_column
declare
  v_held bigint[];
begin
  with renewed as (
    update job j set lease_until = now() + p_lease
    from unnest(p_queues, p_priorities, p_ids, p_claims) as g(queue_id, priority, id, claim)
    cross join lateral (
      select h.ctid as at from job h
      where h.queue_id = g.queue_id and h.priority = g.priority and h.id = g.id limit 1
    ) place
    where j.ctid = place.at and j.id = g.id and j.boot = p_boot and j.claim = g.claim
    returning j.id
  )
  select array_agg(id) into v_held from renewed;
  return array(select unnest(p_ids) except select unnest(v_held));
end $$;

-- Hands jobs back at no cost: neither an attempt nor a crash is charged, and they keep their place.
create function workerpool.release(
  p_boot uuid, p_queues int[], p_priorities smallint[], p_ids bigint[], p_claims int[]
) returns bigint[]
language plpgsql
set search_path = workerpool, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off as $$
#variable_conflict use_column
declare
  v_freed bigint[];
  v_held bigint[] := '{}';
begin
  for v_pass in 1 .. 2 loop
    with freed as (
      update job j set boot = null, claim = null, lease_until = null
      from unnest(p_queues, p_priorities, p_ids, p_claims) as g(queue_id, priority, id, claim)
      cross join lateral (
        select h.ctid as at from job h
        where h.queue_id = g.queue_id and h.priority = g.priority and h.id = g.id limit 1
      ) place
      where j.ctid = place.at and j.id = g.id and j.boot = p_boot and j.claim = g.claim
      returning j.id
    )
    select array_agg(id) into v_freed from freed;
    v_held := v_held || v_freed;
    exit when array_length(v_held, 1) = array_length(p_ids, 1);
  end loop;
  return array(select unnest(p_ids) except select unnest(v_held));
end $$;

-- Says that a job which crashed before is about to start; false when the lease is lost.
create function workerpool.mark(p_boot uuid, p_queue int, p_priority smallint, p_id bigint, p_claim int)
returns boolean
language plpgsql set search_path = workerpool, pg_temp set enable_seqscan = off as $$
begin
  update job j set marked = true
  where j.queue_id = p_queue and j.priority = p_priority and j.id = p_id and j.boot = p_boot and j.claim = p_claim;
  return found;
end $$;

-- Hands back what one claim took, when its answer never arrived. Reads the whole queue: for after a broken connection.
create function workerpool.disown(p_boot uuid, p_claim int, p_queues int[]) returns int
language plpgsql set search_path = workerpool, pg_temp as $$
declare
  v_n int;
begin
  update job j set boot = null, claim = null, lease_until = null
  where j.queue_id = any (p_queues) and j.boot = p_boot and j.claim = p_claim;
  get diagnostics v_n = row_count;
  return v_n;
end $$;

-- Moves due jobs to the hot table; returns how many, and the seconds until the next one is due (null: none waits).
create function workerpool.promote(p_queues int[], p_limit int default 1000)
returns table (moved int, next_due float8)
language plpgsql
set search_path = workerpool, pg_temp set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set jit = off as $$
#variable_conflict use_column
begin
  with due as materialized (
    select head.*
    from unnest(p_queues) as wanted(queue_id)
    cross join lateral (
      select d.queue_id, d.due_at, d.id from delayed d
      where d.queue_id = wanted.queue_id and d.due_at <= now()
      order by d.due_at, d.id limit p_limit
      for update of d skip locked
    ) head
  ), gone as (
    delete from delayed d using due
    where d.queue_id = due.queue_id and d.due_at = due.due_at and d.id = due.id
    returning d.*
  ), ready as (
    insert into job (id, enqueued_at, available_at, expires_at, queue_id, priority, attempts, crashes, unique_key,
                     headers, payload)
    select id, enqueued_at, due_at, expires_at, queue_id, priority, attempts, crashes, unique_key, headers, payload
    from gone
    returning 1
  )
  select count(*)::int into moved from ready;
  select extract(epoch from min(head.due_at) - now())::float8 into next_due
  from unnest(p_queues) as wanted(queue_id)
  cross join lateral (
    select d.due_at from delayed d where d.queue_id = wanted.queue_id order by d.due_at limit 1
  ) head;
  return next;
end $$;

-- Records an event of a running job; false when the attempt no longer holds it.
create function workerpool.progress(
  p_boot uuid, p_queue int, p_priority smallint, p_id bigint, p_claim int, p_state text, p_progress smallint, p_data json
) returns boolean
language plpgsql set search_path = workerpool, pg_temp set enable_seqscan = off as $$
begin
  insert into event (job_id, attempt, state, progress, data)
  select j.id, j.attempts + 1, p_state, p_progress, p_data from job j
  where j.queue_id = p_queue and j.priority = p_priority and j.id = p_id and j.boot = p_boot and j.claim = p_claim;
  return found;
end $$;

-- One reading per queue; counting stops at p_cap rows, so a deep queue costs no more than a long one.
create function workerpool.backlog(p_queues text[], p_cap int default 100000)
returns table (queue text, ready bigint, in_flight bigint, delayed bigint, dead bigint, truncated boolean,
               oldest_age float8, next_due float8, completed bigint, failed bigint)
language sql stable
set search_path = workerpool, pg_temp set enable_seqscan = off set jit = off as $$
  select wanted.name, coalesce(hot.ready, 0) + coalesce(later.due, 0), coalesce(hot.in_flight, 0), coalesce(later.n, 0), coalesce(buried.n, 0),
         coalesce(hot.n >= p_cap, false), greatest(hot.oldest_age, later.due_age), later.next_due,
         coalesce(q.completed + done.completed, 0), coalesce(q.failed + done.failed, 0)
  from unnest(p_queues) as wanted(name)
  left join queue q on q.name = wanted.name
  left join lateral (
    select count(*) as n,
           count(*) filter (where s.lease_until is null or s.lease_until < now()) as ready,
           count(*) filter (where s.lease_until >= now()) as in_flight,
           extract(epoch from now() - min(s.available_at)
             filter (where s.lease_until is null or s.lease_until < now()))::float8 as oldest_age
    from (select j.lease_until, j.available_at from job j where j.queue_id = q.id
          order by j.priority desc, j.id limit p_cap) s
  ) hot on true
  left join lateral (
    -- A job that is due waits for a runner, and only a runner moves it: it counts as ready.
    select count(*) filter (where s.due_at > now()) as n,
           count(*) filter (where s.due_at <= now()) as due,
           extract(epoch from now() - min(s.due_at) filter (where s.due_at <= now()))::float8 as due_age,
           extract(epoch from min(s.due_at) filter (where s.due_at > now()) - now())::float8 as next_due
    from (select d.due_at from delayed d where d.queue_id = q.id order by d.due_at limit p_cap) s
  ) later on true
  left join lateral (
    select count(*) as n from (select 1 from dead x where x.queue_id = q.id and x.forwarded_to is null limit p_cap) s
  ) buried on true
  left join lateral (
    select coalesce(sum(s.completed), 0)::bigint as completed, coalesce(sum(s.failed), 0)::bigint as failed
    from stat s where s.queue_id = q.id
  ) done on true
$$;

-- Takes a runner off the books, keeping what it counted.
create function workerpool.farewell(p_boot uuid) returns void
language plpgsql set search_path = workerpool, pg_temp as $$
begin
  -- Runners that end together take these rows in the same order.
  perform from queue q where q.id in (select s.queue_id from stat s where s.boot = p_boot) order by q.id for update;
  with gone as (
    delete from stat where boot = p_boot returning queue_id, completed, failed, dead
  ), kept as (
    update queue q set completed = q.completed + g.completed, failed = q.failed + g.failed, dead = q.dead + g.dead
    from gone g where q.id = g.queue_id
  )
  delete from runner where boot = p_boot;
end $$;

-- Upkeep, by one runner at a time and at most once in p_every: history partitions made ahead and dropped after
-- p_retention, old events and expired jobs removed, runners that vanished taken off the books. Returns what it did.
create function workerpool.maintain(p_retention interval default '7 days', p_every interval default '1 hour')
returns table (expired int, partitions_dropped int, rows_dropped int)
language plpgsql set search_path = workerpool, pg_temp set lock_timeout = '2s' as $$
#variable_conflict use_column
declare
  v_day date;
  v_name text;
  v_part record;
begin
  expired := 0; partitions_dropped := 0; rows_dropped := 0;
  if not pg_try_advisory_xact_lock(hashtext('workerpool.maintain'))
     or exists (select from upkeep u where u.ran_at > now() - p_every) then
    return next;
    return;
  end if;
  update upkeep set ran_at = now();
  delete from history_default where finished_at < now() - p_retention;
  get diagnostics rows_dropped = row_count;
  delete from event e where e.at < now() - p_retention;
  with gone as (
    delete from delayed d where d.expires_at < now()
    returning d.id, d.queue_id, d.priority, d.attempts, d.crashes, d.enqueued_at, d.due_at as since, d.unique_key,
              d.headers, d.payload
  ), gone_ready as (
    delete from job j where j.expires_at < now() and j.boot is null
    returning j.id, j.queue_id, j.priority, j.attempts, j.crashes, j.enqueued_at, j.available_at as since, j.unique_key,
              j.headers, j.payload
  ), both_gone as (select * from gone union all select * from gone_ready),
  freed as (
    delete from unique_key u using both_gone b where u.queue_id = b.queue_id and u.key = b.unique_key
  ), kept as (
    insert into history (id, queue_id, state, priority, attempts, crashes, enqueued_at, available_at, started_at,
                         finished_at, headers, payload)
    select id, queue_id, 'expired', priority, attempts, crashes, enqueued_at, since, now(), now(), headers, payload
    from both_gone where (select q.history from queue q where q.id = both_gone.queue_id)
    returning 1
  )
  select count(*)::int into expired from both_gone;
  perform workerpool.farewell(r.boot) from runner r where r.seen_at < now() - interval '1 hour';
  -- Last, because they lock the whole history until the commit.
  for v_day in select (now() at time zone 'utc')::date + n from generate_series(1, 3) n loop
    v_name := 'history_' || to_char(v_day, 'YYYYMMDD');
    if to_regclass('workerpool.' || v_name) is null then
      execute format('create table workerpool.%I partition of workerpool.history for values from (%L) to (%L)',
                     v_name, v_day::text || ' 00:00:00+00', (v_day + 1)::text || ' 00:00:00+00');
    end if;
  end loop;
  for v_part in
    select c.relname, to_date(substr(c.relname, 9), 'YYYYMMDD') as day from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'workerpool.history'::regclass and c.relname ~ '^history_[0-9]{8}$'
  loop
    if (v_part.day + 1)::timestamp at time zone 'utc' < now() - p_retention then
      execute format('drop table workerpool.%I', v_part.relname);
      partitions_dropped := partitions_dropped + 1;
    end if;
  end loop;
  return next;
end $$;

do $$
declare
  v_day date;
begin
  for v_day in select (now() at time zone 'utc')::date + n from generate_series(0, 2) n loop
    execute format('create table workerpool.%I partition of workerpool.history for values from (%L) to (%L)',
                   'history_' || to_char(v_day, 'YYYYMMDD'),
                   v_day::text || ' 00:00:00+00', (v_day + 1)::text || ' 00:00:00+00');
  end loop;
end $$;
