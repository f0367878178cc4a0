"""The Postgres engine: leases, fencing and settlement in SQL functions, driven by three connections per process."""
