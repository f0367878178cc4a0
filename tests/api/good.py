"""Manifests that must be accepted everywhere: what the case is about -> YAML of the spec, or a whole manifest."""

GOOD: dict[str, str] = {
    "the shortest one": "",
    "empty groups": "retry: {}\nscaling: {}\nprobes: {}\nworker: {app: a, podTemplate: {}, names: []}",
    "empty groups inside groups": "scaling: {scaleUp: {}, scaleDown: {policies: []}}\nprobes: {startup: {}}",
    "nothing where a group may be": "retry:\nscaling:\nprobes:\nreplicas:",
    "nothing where a value may be": "worker: {app: a, image: null, jobTimeoutSeconds: null, names: null}",
    "nothing inside scaling": "scaling: {pause: null, fallback: null, scaleUp: null, minReplicas: null}",
    "every field of scaling": """\
scaling:
  minReplicas: 1
  maxReplicas: 20
  backlogPerReplica: 5
  targetWaitSeconds: 30
  pollIntervalSeconds: 2
  activationBacklog: 3
  tolerancePercent: 0
  scaleUp: {stabilizationSeconds: 10, policies: [{type: Replicas, value: 4}], selectPolicy: Min}
  scaleDown: {stabilizationSeconds: 0, policies: [{type: Percent, value: 25, periodSeconds: 1800}], selectPolicy: Max}
  fallback: {replicas: 2, afterFailures: 1}
  pause: {mode: HoldAt, replicas: 2, until: "2030-01-31T18:00:00Z"}""",
    "every field of worker": """\
worker:
  image: registry.example:5000/team/app@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
  app: shop.workers
  names: [certify, "résumé"]
  concurrency: 1000
  processes: 64
  jobTimeoutSeconds: 604800
  drainTimeoutSeconds: 604800""",
    "a builtin worker": "worker: {builtin: s3-archive, archive: {}, names: []}",
    "every field of an archive": """\
worker:
  builtin: s3-archive
  archive:
    endpoint: http://garage:3900
    region: garage
    bucket: sessions.eu-1
    credentialsSecretRef:
      {name: s3, accessKeyKey: a, secretKeyKey: s, endpointKey: e, regionKey: r, bucketKey: b}
    keyTemplate: "sessions/{user_id}/{session_uuid}.json"
    contentType: application/json; charset=utf-8
    requiredFields: [user_id, "größe"]
    batch: {maxMessages: 1, maxSeconds: 300, maxBytes: 1024, keyTemplate: "{date}/{hour}/{batch_id}.ndjson"}""",
    "every field of retry": "retry: {maxRetries: 0, backoff: Fixed, initialDelaySeconds: 0, maxDelaySeconds: 0}",
    "every field of probes": """\
probes:
  port: 65535
  startup: {periodSeconds: 1, timeoutSeconds: 1, failureThreshold: 1000}
  liveness: {periodSeconds: 3600, timeoutSeconds: 3600, failureThreshold: 1}
  readiness: {periodSeconds: 10}""",
    "every field of the source": """\
source: {postgres: {queue: orders, mode: Pooled, urlSecretRef: {name: queue-db.team, key: DATABASE_URL.v-2}}}""",
    "a Secret's key left out": "source: {postgres: {queue: orders, urlSecretRef: {name: queue-db}}}",
    "a broker by its URL": "source: {rabbitmq: {queue: orders, urlSecretRef: {name: mq}}}",
    "a broker on one machine": "source: {rabbitmq: {queue: orders}}",
    "every field of a broker by its parts": """\
source:
  rabbitmq:
    host: mq.shop.svc.cluster.local
    port: 5671
    vhost: shop/eu ✓
    credentialsSecretRef: {name: mq-user, usernameKey: user, passwordKey: pass}
    tls: {caSecretRef: {name: mq-ca, key: root.pem}}
    queue: orders
    deliveryLimit: 5
    management: {url: "https://mq.shop.svc:15671/prefix", prometheusUrl: "http://[::1]:15692"}""",
    "a broker by an address": "source: {rabbitmq: {queue: orders, host: '::1', tls: {}}}",
    "a management API with other credentials": """\
source: {rabbitmq: {queue: q, urlSecretRef: {name: mq}, tls: {}, management: {urlSecretRef: {name: m, key: u}}}}""",
    "a queue of 250 characters on a broker": f"source: {{rabbitmq: {{queue: {'q' * 250}}}}}",
    "a queue of all sorts of characters on a broker": "source: {rabbitmq: {queue: 'a-Z_0.9:b#,/+ c@d'}}",
    "a queue in another script": "source: {postgres: {queue: 'fila de certificação ✓ 注文'}}",
    "a queue of 255 letters beyond ASCII": f"source: {{postgres: {{queue: {'é' * 255}}}}}",
    "a queue that looks like a number, quoted": "source: {postgres: {queue: '2024'}}",
    "a queue that looks like a date": "source: {postgres: {queue: 2027-01-15}}",
    "a queue that looks like a time of day": "source: {postgres: {queue: 12:30}}",
    "numbers in other notations": "scaling: {maxReplicas: 0x10, minReplicas: 0o7, activationBacklog: 1e3}",
    "pinned": "replicas: 3",
    "pinned at zero": "replicas: 0",
    "pinned above the maximum": "scaling: {maxReplicas: 2}\nreplicas: 1000",
    "minimum at the default maximum": "scaling: {minReplicas: 10}",
    "a whole number with a point": "scaling: {maxReplicas: 20.0}",
    "a number with separators": "scaling: {activationBacklog: 1_000}",
    "a pause until a time with an offset": "scaling: {pause: {mode: Hold, until: '2030-01-31T18:00:00.250+05:30'}}",
    "a pause until an unquoted time": "scaling: {pause: {mode: NoScaleIn, until: 2030-01-31T18:00:00Z}}",
    "drain as long as a job": "worker: {app: a, jobTimeoutSeconds: 60, drainTimeoutSeconds: 60}",
    "eight policies": f"scaling: {{scaleDown: {{policies: [{', '.join(['{type: Percent, value: 10}'] * 8)}]}}}}",
    "an anchor and its alias": """\
probes: {liveness: &calm {periodSeconds: 30, timeoutSeconds: 9}, readiness: *calm}""",
    "an anchor merged": """\
probes: {liveness: &calm {periodSeconds: 30, timeoutSeconds: 9}, readiness: {<<: *calm, timeoutSeconds: 3}}""",
    "a pod template": """\
worker:
  app: a
  podTemplate:
    metadata: {labels: {team: shop}, annotations: {note: "ein Wort, zwei Wörter"}}
    spec:
      serviceAccountName: shop
      nodeSelector: {disk: ssd}
      tolerations: [{key: spot, operator: Exists}]
      affinity: {nodeAffinity: {}}
      securityContext: {runAsUser: 1000, fsGroup: 1000}
      imagePullSecrets: [{name: registry}]
      volumes: [{name: models, emptyDir: {}}]
      containers:
      - name: runner
        env: [{name: LOG_LEVEL, value: debug}, {name: TOKEN, valueFrom: {secretKeyRef: {name: t, key: t}}}]
        resources: {requests: {cpu: 0.5, memory: 1Gi}, limits: {memory: 2Gi, nvidia.com/gpu: 1}}
        volumeMounts: [{name: models, mountPath: /models}]
      - {name: proxy, image: example/proxy:1, ports: [{name: sql, containerPort: 5432}]}""",
    "a name of 52 characters": f"""\
apiVersion: workerpool.dev/v1
kind: WorkerPool
metadata: {{name: {"a" * 52}}}
spec: {{source: {{postgres: {{queue: q}}}}, worker: {{app: a}}}}""",
    "labels and annotations": """\
apiVersion: workerpool.dev/v1
kind: WorkerPool
metadata: {name: labelled, labels: {app.kubernetes.io/part-of: shop, empty: ""}, annotations: {note: "línea\\ndos"}}
spec: {source: {postgres: {queue: q}}, worker: {app: a}}""",
    "a status that came along": """\
apiVersion: workerpool.dev/v1
kind: WorkerPool
metadata: {name: exported}
spec: {source: {postgres: {queue: q}}, worker: {app: a}}
status: {replicas: 3, readyReplicas: 3, history: {recommendation: 3}}""",
}
