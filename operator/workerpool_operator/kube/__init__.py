"""The platform that runs replicas as pods: what the operator asks of a Kubernetes API server, and how."""
