"""The local platform: runner processes on this machine, the same policy, probes and drain as on a cluster."""
