"""The statements of the administration. Each one stays on an index whatever the size of the backlog.

The hot table has one index, (queue_id, priority desc, id). A job is found by its id by looking into every pair of queue
and priority that exists: the pairs are walked by index probes (``max(priority)`` below the last one), never by a scan.
The limits inside LATERAL are not there to limit: they keep the planner from turning the probes into one pass over the
index.
"""

from typing import Final

SCAN_CAP: Final = 100_000
"""The most rows of one queue that a list looks at to find those in the asked state."""

# Plans must not change when the statistics are old; both settings end with the transaction.
PIN: Final = ("set local enable_seqscan = off", "set local jit = off")

HOT: Final = """
select j.id, j.queue_id, q.name as queue, j.priority, j.attempts, j.crashes, j.enqueued_at, j.available_at,
       j.expires_at, j.unique_key, j.headers, j.payload, j.boot, j.lease_until,
       coalesce(j.lease_until >= now(), false) as in_flight,
       extract(epoch from now() - j.available_at)::float8 as waited
from workerpool.queue q
cross join lateral (
  with recursive step(priority) as (
    select (select max(h.priority) from workerpool.job h where h.queue_id = q.id)
    union all
    select (select max(h.priority) from workerpool.job h where h.queue_id = q.id and h.priority < step.priority)
    from step where step.priority is not null
  )
  select step.priority from step where step.priority is not null
) pair
cross join lateral (
  select * from workerpool.job x where x.queue_id = q.id and x.priority = pair.priority and x.id = $1 limit 1
) j
"""

DELAYED: Final = """
select d.id, d.queue_id, q.name as queue, d.priority, d.attempts, d.crashes, d.enqueued_at, d.due_at as available_at,
       d.expires_at, d.unique_key, d.headers, d.payload, d.last_error as error, 0::float8 as waited
from workerpool.queue q
join workerpool.delayed d on d.queue_id = q.id and d.id = $1
"""

DEAD: Final = """
select d.id, d.queue_id, q.name as queue, d.priority, d.attempts, d.crashes, d.enqueued_at, d.died_at, d.reason,
       d.error, d.worker, d.forwarded_to, d.headers, d.payload
from workerpool.dead d join workerpool.queue q on q.id = d.queue_id
where d.id = $1
"""

HISTORY: Final = """
select h.id, h.queue_id, q.name as queue, h.state, h.priority, h.attempts, h.crashes, h.enqueued_at, h.available_at,
       h.started_at, h.finished_at, h.error, h.result, h.headers, h.payload,
       greatest(extract(epoch from h.started_at - h.available_at), 0)::float8 as waited
from workerpool.history h join workerpool.queue q on q.id = h.queue_id
where h.id = $1 order by h.finished_at desc limit 20
"""

# One snapshot: a job on its way from one table to another is seen in exactly one of them.
LOCATE: Final = f"""
select 'hot' as place, queue_id, queue, priority, in_flight, null::text as state from ({HOT}) hot
union all
select 'delayed', queue_id, queue, priority, false, null from ({DELAYED}) later
union all
select 'dead', queue_id, queue, priority, false, null from ({DEAD}) buried
union all
select * from (select 'history', queue_id, queue, priority, false, state from ({HISTORY}) ended limit 1) newest
"""

# Two administrators, or two calls of one, never work on the same job at once.
LOCK: Final = "select pg_advisory_xact_lock(hashtextextended('workerpool.job', $1))"

NOTIFY: Final = "select pg_notify('workerpool', $1)"

RETRY_DELAYED: Final = """
with gone as (
  delete from workerpool.delayed d where d.queue_id = $1 and d.id = $2 returning d.*
)
insert into workerpool.job (id, enqueued_at, expires_at, queue_id, priority, attempts, crashes, unique_key, headers,
                            payload)
select id, enqueued_at, expires_at, queue_id, priority, attempts, crashes, unique_key, headers, payload from gone
returning id
"""

RETRY_ENDED: Final = """
insert into workerpool.job (id, enqueued_at, queue_id, priority, headers, payload)
select h.id, h.enqueued_at, h.queue_id, h.priority, h.headers, h.payload
from workerpool.history h where h.id = $1 and h.payload is not null order by h.finished_at desc limit 1
on conflict do nothing returning id
"""

CANCEL_HOT: Final = """
with gone as (
  delete from workerpool.job j where j.queue_id = $1 and j.priority = $2 and j.id = $3 returning j.*
), freed as (
  delete from workerpool.unique_key u using gone
  where gone.unique_key is not null and u.queue_id = gone.queue_id and u.key = gone.unique_key and u.job_id = gone.id
), kept as (
  insert into workerpool.history (id, queue_id, state, priority, attempts, crashes, enqueued_at, available_at,
                                  started_at, finished_at, boot, error, headers, payload)
  select id, queue_id, 'cancelled', priority, attempts, crashes, enqueued_at, available_at, now(), now(), boot,
         case when boot is null then 'cancelled before it started' else 'cancelled while a runner held it' end,
         headers, payload
  from gone
)
select boot is not null and lease_until >= now() as held from gone
"""

CANCEL_DELAYED: Final = """
with gone as (
  delete from workerpool.delayed d where d.queue_id = $1 and d.id = $2 returning d.*
), freed as (
  delete from workerpool.unique_key u using gone
  where gone.unique_key is not null and u.queue_id = gone.queue_id and u.key = gone.unique_key and u.job_id = gone.id
), kept as (
  insert into workerpool.history (id, queue_id, state, priority, attempts, crashes, enqueued_at, available_at,
                                  started_at, finished_at, error, headers, payload)
  select id, queue_id, 'cancelled', priority, attempts, crashes, enqueued_at, least(due_at, now()), now(), now(),
         coalesce(last_error, 'cancelled before it started'), headers, payload
  from gone
)
select false as held from gone
"""

HOLDER: Final = "select name, host, pid from workerpool.runner where boot = $1"

EVENTS: Final = """
select * from (
  select at, attempt, state, progress, data from workerpool.event where job_id = $1 order by at desc limit $2
) newest order by at
"""

_QUEUES: Final = "(select id, name from workerpool.queue where $1::text is null or name = $1) q"

LIST_HOT: Final = f"""
select j.id, q.name as queue, j.priority, j.attempts, j.crashes, j.available_at as since, null::timestamptz as due,
       case when j.boot is not null and j.lease_until < now() then 'its lease ran out' end as note
from {_QUEUES}
cross join lateral (
  select * from (
    select h.id, h.priority, h.attempts, h.crashes, h.available_at, h.boot, h.lease_until
    from workerpool.job h where h.queue_id = q.id order by h.priority desc, h.id limit {SCAN_CAP}
  ) head
  where coalesce(head.lease_until >= now(), false) = $3 limit $2
) j
order by j.priority desc, j.id limit $2
"""

LIST_DELAYED: Final = f"""
select d.id, q.name as queue, d.priority, d.attempts, d.crashes, d.enqueued_at as since, d.due_at as due,
       d.last_error as note
from {_QUEUES}
cross join lateral (
  select * from workerpool.delayed l where l.queue_id = q.id order by l.due_at, l.id limit $2
) d
order by d.due_at, d.id limit $2
"""

LIST_DEAD: Final = f"""
select d.id, q.name as queue, d.priority, d.attempts, d.crashes, d.died_at as since, null::timestamptz as due,
       d.reason || ': ' || d.error as note
from {_QUEUES}
cross join lateral (
  select * from workerpool.dead x where x.queue_id = q.id order by x.id desc limit $2
) d
order by d.id desc limit $2
"""

LIST_ENDED: Final = f"""
select h.id, q.name as queue, h.priority, h.attempts, h.crashes, h.finished_at as since, null::timestamptz as due,
       h.error as note
from (select * from workerpool.history order by id desc limit {SCAN_CAP}) h
join {_QUEUES} on q.id = h.queue_id
where h.state = $3 order by h.id desc limit $2
"""

# $1 queue or null, $2 ids or null, $3 reason or null, $4 forwarded too, $5 only those that died before, $6 limit.
_DEAD_MATCH: Final = """
from workerpool.dead d
where ($1::int is null or d.queue_id = $1) and ($2::bigint[] is null or d.id = any ($2))
  and ($3::text is null or d.reason = $3) and ($4 or d.forwarded_to is null)
  and d.died_at <= $5
"""

DEAD_ROWS: Final = f"""
select p.*, q.name as queue from (select d.* {_DEAD_MATCH} order by d.id desc limit $6) p
join workerpool.queue q on q.id = p.queue_id order by p.id desc
"""

DEAD_COUNT: Final = f"select count(*) from (select 1 {_DEAD_MATCH} limit $6) matching"

# A dead letter that a runner or another administrator works on is left alone; the next batch sees it again.
REDRIVE: Final = f"""
with picked as (
  select d.id {_DEAD_MATCH} order by d.id limit $6 for update of d skip locked
), gone as (
  delete from workerpool.dead d using picked where d.id = picked.id returning d.*
), back as (
  insert into workerpool.job (id, enqueued_at, queue_id, priority, headers, payload)
  select id, enqueued_at, queue_id, priority, headers, payload from gone order by id
  on conflict do nothing
)
select gone.id, q.name as queue from gone join workerpool.queue q on q.id = gone.queue_id
"""

DROP: Final = f"""
with picked as (
  select d.id {_DEAD_MATCH} order by d.id limit $6 for update of d skip locked
)
delete from workerpool.dead d using picked where d.id = picked.id returning d.id
"""
