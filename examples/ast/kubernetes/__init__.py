"""The demo on Kubernetes: the operator from its chart, a pool of pods that comes from 0 and goes back to 0."""
