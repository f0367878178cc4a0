"""Manifests that must be refused everywhere: what the case is about -> (field that the message names, YAML)."""

WHOLE = "apiVersion: workerpool.dev/v1\nkind: WorkerPool\n"
NAMED = f"{WHOLE}metadata: {{name: a}}\n"
SPEC = "spec: {source: {postgres: {queue: q}}, worker: {app: a}}\n"
NINE = ", ".join(["{type: Percent, value: 10}"] * 9)

BAD: dict[str, tuple[str, str]] = {
    # The object itself
    "a name with capitals": ("metadata.name", f"{WHOLE}metadata: {{name: Shop}}\n{SPEC}"),
    "a name with a dot": ("metadata.name", f"{WHOLE}metadata: {{name: shop.eu}}\n{SPEC}"),
    "a name of 53 characters": ("metadata.name", f"{WHOLE}metadata: {{name: {'a' * 53}}}\n{SPEC}"),
    "a name beyond ASCII": ("metadata.name", f"{WHOLE}metadata: {{name: pédido}}\n{SPEC}"),
    "a name that ends in a dash": ("metadata.name", f"{WHOLE}metadata: {{name: shop-}}\n{SPEC}"),
    "a name that is a number": ("name", f"{WHOLE}metadata: {{name: 2024}}\n{SPEC}"),
    "no name": ("name", f"{WHOLE}metadata: {{labels: {{a: b}}}}\n{SPEC}"),
    "a label that is a number": ("labels", f"{WHOLE}metadata: {{name: a, labels: {{version: 1.0}}}}\n{SPEC}"),
    "a label with a space": ("metadata.labels", f"{WHOLE}metadata: {{name: a, labels: {{team: a b}}}}\n{SPEC}"),
    "an annotation that is a truth value": (
        "annotations",
        f"{WHOLE}metadata: {{name: a, annotations: {{x: yes}}}}\n{SPEC}",
    ),
    "an unknown field of the metadata": ("metadata.lables", f"{WHOLE}metadata: {{name: a, lables: {{}}}}\n{SPEC}"),
    "an unknown field beside the spec": ("specs", f"{NAMED}specs: {{}}\n{SPEC}"),
    "no spec": ("spec", f"{NAMED}"),
    "an empty spec": ("spec.source", f"{NAMED}spec: {{}}\n"),
    "a spec that is a list": ("spec", f"{NAMED}spec: []\n"),
    "another version": (
        "workerpool.dev/v9",
        f"apiVersion: workerpool.dev/v9\nkind: WorkerPool\nmetadata: {{name: a}}\n{SPEC}",
    ),
    "no version": ("apiVersion", f"kind: WorkerPool\nmetadata: {{name: a}}\n{SPEC}"),
    "a kind misspelt": (
        "WorkerPools",
        f"apiVersion: workerpool.dev/v1\nkind: WorkerPools\nmetadata: {{name: a}}\n{SPEC}",
    ),
    # source
    "no source": ("spec.source", "source:"),
    "an empty source": ("spec.source", "source: {}"),
    "a source that is not known": ("spec.source.kafka", "source: {kafka: {queue: q}}"),
    "two sources": ("spec.source", "source: {postgres: {queue: q}, rabbitmq: {queue: q}}"),
    "no queue": ("spec.source.postgres.queue", "source: {postgres: {mode: Direct}}"),
    "an empty queue": ("spec.source.postgres.queue", "source: {postgres: {queue: ''}}"),
    "a queue that is a number": ("spec.source.postgres.queue", "source: {postgres: {queue: 2024}}"),
    "a queue that is a truth value": ("spec.source.postgres.queue", "source: {postgres: {queue: on}}"),
    "a queue that is one letter for yes": ("spec.source.postgres.queue", "source: {postgres: {queue: y}}"),
    "a queue of 256 characters": ("spec.source.postgres.queue", f"source: {{postgres: {{queue: {'q' * 256}}}}}"),
    "a queue with a line break": ("spec.source.postgres.queue", 'source: {postgres: {queue: "a\\nb"}}'),
    "a mode that is not known": ("spec.source.postgres.mode", "source: {postgres: {queue: q, mode: pooled}}"),
    "a URL in the manifest": ("spec.source.postgres.url", "source: {postgres: {queue: q, url: 'postgresql://db/x'}}"),
    "a Secret by name alone": ("spec.source.postgres.urlSecretRef", "source: {postgres: {queue: q, urlSecretRef: db}}"),
    "a Secret without a name": (
        "spec.source.postgres.urlSecretRef.name",
        "source: {postgres: {queue: q, urlSecretRef: {key: url}}}",
    ),
    "a Secret's key with a slash": (
        "spec.source.postgres.urlSecretRef.key",
        "source: {postgres: {queue: q, urlSecretRef: {name: db, key: a/b}}}",
    ),
    # source on a broker
    "a broker without a queue": ("spec.source.rabbitmq.queue", "source: {rabbitmq: {host: mq}}"),
    "two ways to a broker": (
        "spec.source.rabbitmq.host",
        "source: {rabbitmq: {queue: q, host: mq, urlSecretRef: {name: s}}}",
    ),
    "a port without a host": ("spec.source.rabbitmq.port", "source: {rabbitmq: {queue: q, port: 5672}}"),
    "a vhost beside a URL": (
        "spec.source.rabbitmq.vhost",
        "source: {rabbitmq: {queue: q, vhost: v, urlSecretRef: {name: s}}}",
    ),
    "credentials without a host": (
        "spec.source.rabbitmq.credentialsSecretRef",
        "source: {rabbitmq: {queue: q, credentialsSecretRef: {name: s}}}",
    ),
    "a password in the manifest": ("spec.source.rabbitmq.password", "source: {rabbitmq: {queue: q, password: x}}"),
    "a host that is a URL": ("spec.source.rabbitmq.host", "source: {rabbitmq: {queue: q, host: 'amqp://mq'}}"),
    "an empty vhost": ("spec.source.rabbitmq.vhost", "source: {rabbitmq: {queue: q, host: mq, vhost: ''}}"),
    "a queue of 251 characters on a broker": (
        "spec.source.rabbitmq.queue",
        f"source: {{rabbitmq: {{queue: {'q' * 251}}}}}",
    ),
    "a queue beyond ASCII on a broker": ("spec.source.rabbitmq.queue", "source: {rabbitmq: {queue: certificação}}"),
    "a queue with an asterisk on a broker": ("spec.source.rabbitmq.queue", "source: {rabbitmq: {queue: 'orders.*'}}"),
    "a queue whose topic is any topic": ("spec.source.rabbitmq.queue", "source: {rabbitmq: {queue: 'orders.#@mail'}}"),
    "a queue of the broker itself": ("spec.source.rabbitmq.queue", "source: {rabbitmq: {queue: amq.gen}}"),
    "a queue of WorkerPool itself": ("spec.source.rabbitmq.queue", "source: {rabbitmq: {queue: workerpool.wait.1s}}"),
    "no delivery": ("spec.source.rabbitmq.deliveryLimit", "source: {rabbitmq: {queue: q, deliveryLimit: 0}}"),
    "a mode of another source": ("spec.source.rabbitmq.mode", "source: {rabbitmq: {queue: q, mode: Direct}}"),
    "an authority without a name": (
        "spec.source.rabbitmq.tls.caSecretRef.name",
        "source: {rabbitmq: {queue: q, host: mq, tls: {caSecretRef: {key: ca.crt}}}}",
    ),
    "credentials in the address of a management API": (
        "spec.source.rabbitmq.management.url",
        "source: {rabbitmq: {queue: q, management: {url: 'http://u:p@mq:15672'}}}",
    ),
    "a management API at no web address": (
        "spec.source.rabbitmq.management.url",
        "source: {rabbitmq: {queue: q, management: {url: 'mq:15672'}}}",
    ),
    "two management APIs": (
        "spec.source.rabbitmq.management.url",
        "source: {rabbitmq: {queue: q, management: {url: 'http://mq', urlSecretRef: {name: m}}}}",
    ),
    "a Prometheus page with a query": (
        "spec.source.rabbitmq.management.prometheusUrl",
        "source: {rabbitmq: {queue: q, management: {prometheusUrl: 'http://mq/metrics?family=x'}}}",
    ),
    # worker
    "no worker": ("spec.worker", "worker:"),
    "no app": ("spec.worker.app", "worker: {image: example/app}"),
    "an app and a builtin": ("spec.worker.app", "worker: {app: a, builtin: s3-archive, archive: {}}"),
    "a builtin that is not known": ("spec.worker.builtin", "worker: {builtin: s3}"),
    "a builtin archive without an archive": ("spec.worker.archive", "worker: {builtin: s3-archive}"),
    "an archive without its builtin": ("spec.worker.archive", "worker: {app: a, archive: {}}"),
    "names of a builtin": ("spec.worker.names", "worker: {builtin: s3-archive, archive: {}, names: [a]}"),
    "a secret key in the manifest": (
        "spec.worker.archive.secretKey",
        "worker: {builtin: s3-archive, archive: {secretKey: x}}",
    ),
    "a bucket with capitals": ("spec.worker.archive.bucket", "worker: {builtin: s3-archive, archive: {bucket: Abc}}"),
    "an app that is a file": ("spec.worker.app", "worker: {app: shop/workers.py}"),
    "an app with a colon": ("spec.worker.app", "worker: {app: 'shop:app'}"),
    "an image with a space": ("spec.worker.image", "worker: {app: a, image: 'example/app :1'}"),
    "an image with a wide space": ("spec.worker.image", 'worker: {app: a, image: "a\\u00a0b"}'),
    "an empty image": ("spec.worker.image", "worker: {app: a, image: ''}"),
    "names that are one name": ("spec.worker.names", "worker: {app: a, names: certify}"),
    "a name twice": ("spec.worker.names[1]", "worker: {app: a, names: [certify, certify]}"),
    "a name that is nothing": ("spec.worker.names[0]", "worker: {app: a, names: [null]}"),
    "a worker's name with a comma": ("spec.worker.names[1]", "worker: {app: a, names: [a, 'b,c']}"),
    "65 names": ("spec.worker.names", f"worker: {{app: a, names: [{', '.join(f'n{i}' for i in range(65))}]}}"),
    "no concurrency at all": ("spec.worker.concurrency", "worker: {app: a, concurrency: 0}"),
    "half a process": ("spec.worker.processes", "worker: {app: a, processes: 0.5}"),
    "65 processes": ("spec.worker.processes", "worker: {app: a, processes: 65}"),
    "a timeout with a unit": ("spec.worker.jobTimeoutSeconds", "worker: {app: a, jobTimeoutSeconds: 5m}"),
    "a timeout of eight days": ("spec.worker.jobTimeoutSeconds", "worker: {app: a, jobTimeoutSeconds: 691200}"),
    "a drain that cuts off jobs": (
        "spec.worker.drainTimeoutSeconds",
        "worker: {app: a, jobTimeoutSeconds: 60, drainTimeoutSeconds: 59}",
    ),
    "a drain below the default timeout": (
        "spec.worker.drainTimeoutSeconds",
        "worker: {app: a, drainTimeoutSeconds: 299}",
    ),
    "a field of another case": ("spec.worker.job_timeout_seconds", "worker: {app: a, job_timeout_seconds: 5}"),
    # podTemplate
    "containers beside the pod's spec": (
        "spec.worker.podTemplate.containers",
        "worker: {app: a, podTemplate: {containers: []}}",
    ),
    "env beside the containers": ("spec.worker.podTemplate.env", "worker: {app: a, podTemplate: {env: []}}"),
    "a pod template that is a list": ("spec.worker.podTemplate", "worker: {app: a, podTemplate: []}"),
    "containers that are a map": (
        "spec.worker.podTemplate.spec.containers",
        "worker: {app: a, podTemplate: {spec: {containers: {name: runner}}}}",
    ),
    "a container without a name": (
        "spec.worker.podTemplate.spec.containers[0].name",
        "worker: {app: a, podTemplate: {spec: {containers: [{image: x}]}}}",
    ),
    "env as a map": (
        "spec.worker.podTemplate.spec.containers[0].env",
        "worker: {app: a, podTemplate: {spec: {containers: [{name: runner, env: {A: b}}]}}}",
    ),
    "a variable that is a number": (
        "spec.worker.podTemplate.spec.containers[0].env[0].value",
        "worker: {app: a, podTemplate: {spec: {containers: [{name: runner, env: [{name: A, value: 1}]}]}}}",
    ),
    "a volume without a name": (
        "spec.worker.podTemplate.spec.volumes[0].name",
        "worker: {app: a, podTemplate: {spec: {volumes: [{emptyDir: {}}]}}}",
    ),
    "a pod label that is a number": (
        "spec.worker.podTemplate.metadata.labels.version",
        "worker: {app: a, podTemplate: {metadata: {labels: {version: 1}}}}",
    ),
    "a name for the pods": (
        "spec.worker.podTemplate.metadata.name",
        "worker: {app: a, podTemplate: {metadata: {name: x}}}",
    ),
    "a grace period of its own": (
        "spec.worker.podTemplate.spec.terminationGracePeriodSeconds",
        "worker: {app: a, podTemplate: {spec: {terminationGracePeriodSeconds: 30}}}",
    ),
    # retry
    "fewer retries than none": ("spec.retry.maxRetries", "retry: {maxRetries: -1}"),
    "a backoff in small letters": ("spec.retry.backoff", "retry: {backoff: exponential}"),
    "a first delay above the longest": (
        "spec.retry.initialDelaySeconds",
        "retry: {initialDelaySeconds: 9, maxDelaySeconds: 3}",
    ),
    "a delay in milliseconds": ("spec.retry.initialDelaySeconds", "retry: {initialDelaySeconds: 0.1}"),
    "retries as text": ("spec.retry.maxRetries", "retry: {maxRetries: '3'}"),
    "retry as a number": ("spec.retry", "retry: 3"),
    # scaling
    "a misspelt field": ("spec.scaling.maxReplica", "scaling: {maxReplica: 5}"),
    "no replica at most": ("spec.scaling.maxReplicas", "scaling: {maxReplicas: 0}"),
    "too many replicas": ("spec.scaling.maxReplicas", "scaling: {maxReplicas: 1001}"),
    "more than any number": ("spec.scaling.maxReplicas", "scaling: {maxReplicas: 99999999999999999999}"),
    "a number in quotes": ("spec.scaling.maxReplicas", "scaling: {maxReplicas: '5'}"),
    "a truth value for a number": ("spec.scaling.maxReplicas", "scaling: {maxReplicas: true}"),
    "a number in base sixty": ("spec.scaling.targetWaitSeconds", "scaling: {targetWaitSeconds: 1:30}"),
    "minimum above maximum": ("spec.scaling.minReplicas", "scaling: {minReplicas: 5, maxReplicas: 2}"),
    "minimum above the default maximum": ("spec.scaling.minReplicas", "scaling: {minReplicas: 11}"),
    "a target of nothing": ("spec.scaling.backlogPerReplica", "scaling: {backlogPerReplica: 0}"),
    "a wait of nothing": ("spec.scaling.targetWaitSeconds", "scaling: {targetWaitSeconds: 0}"),
    "more than a hundred percent": ("spec.scaling.tolerancePercent", "scaling: {tolerancePercent: 101}"),
    "nine policies": ("spec.scaling.scaleDown.policies", f"scaling: {{scaleDown: {{policies: [{NINE}]}}}}"),
    "a policy of no type": ("spec.scaling.scaleUp.policies[0].type", "scaling: {scaleUp: {policies: [{value: 4}]}}"),
    "a policy's type in small letters": (
        "spec.scaling.scaleUp.policies[1].type",
        "scaling: {scaleUp: {policies: [{type: Percent, value: 4}, {type: pods, value: 4}]}}",
    ),
    "policies that are one policy": (
        "spec.scaling.scaleUp.policies",
        "scaling: {scaleUp: {policies: {type: Percent, value: 4}}}",
    ),
    "a fallback without a number": ("spec.scaling.fallback.replicas", "scaling: {fallback: {}}"),
    "a fallback above the maximum": ("spec.scaling.fallback.replicas", "scaling: {fallback: {replicas: 11}}"),
    "a pause without a mode": ("spec.scaling.pause.mode", "scaling: {pause: {}}"),
    "a pause that is a truth value": ("spec.scaling.pause", "scaling: {pause: true}"),
    "a pause at no number": ("spec.scaling.pause.replicas", "scaling: {pause: {mode: HoldAt}}"),
    "a number for a pause that takes none": (
        "spec.scaling.pause.replicas",
        "scaling: {pause: {mode: Hold, replicas: 1}}",
    ),
    "a pause above the maximum": ("spec.scaling.pause.replicas", "scaling: {pause: {mode: HoldAt, replicas: 11}}"),
    "a pause until a time without a zone": (
        "spec.scaling.pause.until",
        "scaling: {pause: {mode: Hold, until: '2030-01-31T18:00:00'}}",
    ),
    "a pause until a day": ("spec.scaling.pause.until", "scaling: {pause: {mode: Hold, until: 2030-01-31}}"),
    "a pause until a time with a space": (
        "spec.scaling.pause.until",
        "scaling: {pause: {mode: Hold, until: '2030-01-31 18:00:00Z'}}",
    ),
    "a pause until a day that isn't": (
        "spec.scaling.pause.until",
        "scaling: {pause: {mode: Hold, until: '2030-02-30T18:00:00Z'}}",
    ),
    "a pause until a number": ("spec.scaling.pause.until", "scaling: {pause: {mode: Hold, until: 1893456000}}"),
    # probes and replicas
    "a port above the last": ("spec.probes.port", "probes: {port: 65536}"),
    "a path for a probe": ("spec.probes.liveness.path", "probes: {liveness: {path: /x}}"),
    "a probe that never asks": ("spec.probes.readiness.periodSeconds", "probes: {readiness: {periodSeconds: 0}}"),
    "fewer replicas than none": ("spec.replicas", "replicas: -1"),
    "replicas as text": ("spec.replicas", "replicas: '3'"),
}
