"""The WorkerPool operator: decides how many runners a pool needs and makes it so, on Kubernetes or on one machine."""
