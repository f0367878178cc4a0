// What runs in pods of the tests' own: there is no registry to get the usual images from.
module workerpool.dev/tests/cluster/pods

go 1.24.0

tool (
	workerpool.dev/tests/cluster/pods/pause
	workerpool.dev/tests/cluster/pods/probe
)
