-- What each runner process tells of itself and holds, for whoever sizes a pool and chooses which replicas to end.

-- timed: attempts whose handler ran to an end; busy_ms: how long they ran, added up. Their quotient is the mean time of
-- a job. A count of its own, because rows of an older release counted attempts without their time.
alter table workerpool.stat
  add column timed bigint not null default 0,
  add column busy_ms bigint not null default 0;

-- One row per asked queue and runner process that consumes it. busy: the live leases of that process, on all its queues.
-- They are counted in the job table, whose truth is newer than any report. No index tells who holds what, because every
-- claim would have to write it; but claims take from the head of job_claim, so leased rows stand there, and p_cap rows of
-- each queue are read. Behind more than p_cap rows a lease could hide (overtaken by jobs of a higher priority): then the
-- runner's own word counts too, which it gives within about a second of becoming busy. The larger number is taken, so
-- that a busy process never looks idle.
-- A process that was not seen for a minute and holds nothing has vanished and is left out.
create function workerpool.runners(p_queues text[], p_cap int default 100000)
returns table (queue text, name text, slots int, busy bigint, age float8, completed bigint, failed bigint,
               service_ms float8)
language sql stable
set search_path = workerpool, pg_temp set enable_seqscan = off set jit = off as $$
  with process as materialized (
    select r.boot, r.name, r.queues, r.slots, r.busy as told,
           extract(epoch from now() - r.seen_at)::float8 as age, r.seen_at >= now() - interval '1 minute' as fresh
    from runner r where r.queues && p_queues
  ), consumed as materialized (
    select q.id, q.name from queue q where q.name in (select unnest(p.queues) from process p)
  ), head as materialized (
    select c.name, h.boot, count(*) as n, count(*) filter (where h.lease_until >= now()) as live
    from consumed c
    cross join lateral (
      select j.boot, j.lease_until from job j where j.queue_id = c.id order by j.priority desc, j.id limit p_cap
    ) h
    group by c.name, h.boot
  ), deep as materialized (
    select array_agg(d.name) as names from (select h.name from head h group by h.name having sum(h.n) >= p_cap) d
  ), held as materialized (
    select h.boot, sum(h.live)::bigint as live from head h where h.live > 0 group by h.boot
  ), report as materialized (
    select p.*, case when p.fresh and p.queues && deep.names then greatest(coalesce(held.live, 0), p.told)
                     else coalesce(held.live, 0) end as busy
    from process p cross join deep left join held on held.boot = p.boot
  )
  select wanted.name, r.name, r.slots, r.busy, r.age, coalesce(s.completed, 0), coalesce(s.failed, 0),
         s.busy_ms::float8 / nullif(s.timed, 0)
  from (select distinct unnest(p_queues) as name) wanted
  join report r on wanted.name = any (r.queues)
  left join queue q on q.name = wanted.name
  left join stat s on s.queue_id = q.id and s.boot = r.boot
  where r.fresh or r.busy > 0
  order by wanted.name, r.name, r.boot
$$;
