// The process that holds a pod's namespaces; there is no registry to get the usual one from.
module workerpool.dev/tests/cluster/pause

go 1.24.0

tool workerpool.dev/tests/cluster/pause
