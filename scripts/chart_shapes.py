"""What values of the chart look like where their defaults cannot tell: maps, lists, texts of a certain form.

A shape belongs to a path, whose parts may be patterns: `*.replicaCount`. What Kubernetes defines (an
affinity, a security context) is left to Kubernetes: its server refuses what is wrong with it.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from services.gateway.settings import MAX_REPLICAS, MAX_SHARDS

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
TEXTS: Schema = {"type": "array", "items": TEXT}
TEXT_MAP: Schema = {"type": "object", "additionalProperties": TEXT}
OBJECT: Schema = {"type": "object"}
OBJECTS: Schema = {"type": "array", "items": OBJECT}
COUNT: Schema = {"type": "integer", "minimum": 0}
POSITIVE: Schema = {"type": "integer", "minimum": 1}
# Texts of Kubernetes: quantities, names of its objects, durations of Go and of Prometheus, networks.
QUANTITY: Schema = {
    "type": ["string", "number"],
    "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$",
    "minimum": 0,
}
SIZE: Schema = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?$"}
COUNT_OR_SHARE: Schema = {"type": ["integer", "string"], "minimum": 0, "pattern": "^(100%|[0-9]{1,2}%)?$"}
# As before, where there is no such thing as none.
SURELY_COUNT_OR_SHARE: Schema = {
    "type": ["integer", "string"],
    "minimum": 0,
    "pattern": "^(100%|[0-9]{1,2}%)$",
}
NAME: Schema = {"type": "string", "maxLength": 253, "pattern": "^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$"}
DURATION: Schema = {"type": "string", "pattern": "^([0-9]+(h|m|s))+$"}
NETWORK: Schema = {"type": "string", "pattern": "^[0-9a-fA-F.:]+/[0-9]{1,3}$"}
PORTS: Schema = {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 1, "maximum": 65535}}
# Names of sets and classes are parts of names of objects, whose length is bounded.
SET = "^[a-z0-9]{1,8}$"
CLASS = "^[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?$"


def strict(properties: dict[str, Schema], *, required: tuple[str, ...] = ()) -> Schema:
    """A map with these keys and no others."""
    schema: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return schema | ({"required": list(required)} if required else {})


def one_of(*words: str) -> Schema:
    """One of some words."""
    return {"type": "string", "enum": list(words)}


_AMOUNTS: Schema = {"type": "object", "additionalProperties": QUANTITY}
_VARIABLE = strict({"name": TEXT, "value": TEXT, "valueFrom": OBJECT}, required=("name",))

# The first that fits is taken.
SHAPES: dict[str, Schema] = {
    "access.adminKeyHash": {"type": "string", "pattern": "^([0-9a-f]{64})?$"},
    "access.mode": one_of("open", "keys"),
    "listenAddress": one_of("0.0.0.0", "::"),  # noqa: S104 - Pods are called from outside of themselves.
    "embedder.device": one_of("auto", "cpu", "cuda"),
    "extraDeploy": {"type": "array", "items": {"type": ["object", "string"]}},
    "fullnameOverride": {"type": "string", "pattern": "^([a-z]([-a-z0-9]*[a-z0-9])?)?$"},
    "global.imagePullSecrets": {"type": "array", "items": {**NAME, "minLength": 1}},
    "ingress.*pathType": one_of("Prefix", "Exact", "ImplementationSpecific"),
    "ingress.*extraHosts": TEXTS,
    "jobs.import.extraArgs": TEXTS,
    "jobs.snapshot.schedule": {"type": "string", "pattern": r"^(@[a-z]+|\S+( +\S+){4})$"},
    "metrics.*[rR]elabelings": OBJECTS,
    "metrics.prometheusRule.extraGroups": OBJECTS,
    "metrics.serviceMonitor.interval": DURATION,
    "metrics.serviceMonitor.scrapeTimeout": DURATION,
    "models.sizeLimit": SIZE,
    "nameOverride": {"type": "string", "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"},
    "networkPolicy.*MatchLabels": TEXT_MAP,
    "networkPolicy.*eers": OBJECTS,
    "networkPolicy.*ports": PORTS,
    "networkPolicy.extra?gress": OBJECTS,
    "networkPolicy.extraIngress": OBJECTS,
    "networkPolicy.pictures.extraExcept": {"type": "array", "items": NETWORK},
    "tls.certManager.duration": DURATION,
    "tls.certManager.issuerRef.kind": one_of("Issuer", "ClusterIssuer"),
    "tls.certManager.renewBefore": DURATION,
    "tls.extraDnsNames": TEXTS,
    "tracing.endpoint": {"type": "string", "pattern": r"^(https?://[^/\s]+)?$"},
    "tracing.sampleRatio": {"type": "number", "minimum": 0, "maximum": 1},
    "vectorsearch.autoscaling.maxReplicas": {"type": "integer", "minimum": 1, "maximum": MAX_REPLICAS},
    "vectorsearch.current": {"type": "string", "pattern": SET},
    "vectorsearch.next": {"type": "string", "pattern": f"^$|{SET}"},
    "vectorsearch.replicas": {"type": "integer", "minimum": 1, "maximum": MAX_REPLICAS},
    "vectorsearch.updateStrategy": strict(
        {
            "type": one_of("RollingUpdate", "OnDelete"),
            "rollingUpdate": strict({"maxUnavailable": SURELY_COUNT_OR_SHARE, "partition": COUNT}),
        }
    ),
    "vectorsearch.shards": {"type": "integer", "minimum": 1, "maximum": MAX_SHARDS},
    # The vocabulary of every component.
    "*.accessModes": {
        "type": "array",
        "minItems": 1,
        "items": one_of("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"),
    },
    "*.activeDeadlineSeconds": POSITIVE,
    "*.affinity": OBJECT,
    "*nnotations": TEXT_MAP,
    "*.autoscaling.behavior": OBJECT,
    "*.autoscaling.extraMetrics": OBJECTS,
    "*.autoscaling.maxReplicas": POSITIVE,
    "*.autoscaling.minReplicas": POSITIVE,
    "*.autoscaling.targetBusyRatio": {"type": "string", "pattern": r"^(0?\.[0-9]+|1|1\.0|[0-9]{1,3}m)$"},
    "*.autoscaling.targetCPU": {
        "type": ["integer", "string"],
        "minimum": 1,
        "maximum": 100,
        "pattern": "^$",
    },
    "*.autoscaling.target*": POSITIVE,
    "*.containerSecurityContext": OBJECT,
    "*.digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "*.drainSeconds": {"type": "integer", "minimum": 1, "maximum": 600},
    "*.existingClaim": NAME,
    "*.existingConfigMap": NAME,
    "*.existingSecret": NAME,
    "*.extraEnvVars": {"type": "array", "items": _VARIABLE},
    "*.extraVolume*": OBJECTS,
    "*.initContainers": OBJECTS,
    "*abels": TEXT_MAP,
    "*.loadBalancerSourceRanges": {"type": "array", "items": NETWORK},
    "*.namespace": NAME,
    "*.nodeSelector": TEXT_MAP,
    "*.pdb.m??Available": COUNT_OR_SHARE,
    "*.pdb.maxUnavailable": COUNT_OR_SHARE,
    "*.podSecurityContext": OBJECT,
    "*.preStopSeconds": POSITIVE,
    "*Probe.failureThreshold": POSITIVE,
    "*Probe.*Seconds": POSITIVE,
    "*.pullPolicy": one_of("Always", "IfNotPresent", "Never"),
    "*.repository": {"type": "string", "pattern": "^[a-z0-9]+([._/-]+[a-z0-9]+)*$"},
    "*.resources": strict({"claims": OBJECTS, "limits": _AMOUNTS, "requests": _AMOUNTS}),
    "*.service.externalTrafficPolicy": one_of("Cluster", "Local"),
    "*.service.type": one_of("ClusterIP", "NodePort", "LoadBalancer"),
    "*.sidecars": OBJECTS,
    "*.size": SIZE,
    "*.tag": {"type": "string", "maxLength": 128, "pattern": "^([A-Za-z0-9_][A-Za-z0-9_.-]*)?$"},
    "*.tolerations": OBJECTS,
    "*.topologySpreadConstraints": OBJECTS,
    "*.updateStrategy": strict(
        {
            "type": one_of("RollingUpdate", "Recreate"),
            "rollingUpdate": strict(
                {"maxSurge": SURELY_COUNT_OR_SHARE, "maxUnavailable": SURELY_COUNT_OR_SHARE}
            ),
        }
    ),
}

# Keys that may be given besides those that have a default.
MORE: dict[str, dict[str, Schema]] = {
    # One answer is enough for a process to live; and one that is not ready is not ended.
    "*.readinessProbe": {"initialDelaySeconds": COUNT, "successThreshold": POSITIVE},
    "*Probe": {"initialDelaySeconds": COUNT, "terminationGracePeriodSeconds": POSITIVE},
    "*.autoscaling": {"targetCPU": SHAPES["*.autoscaling.targetCPU"]},
}


def shape(path: str) -> Schema | None:
    """The shape of a dotted path; None where the default tells it."""
    return next((found for pattern, found in SHAPES.items() if fnmatchcase(path, pattern)), None)


def more(path: str) -> dict[str, Schema]:
    """What a map may hold besides the keys that values.yaml shows."""
    return next((found for pattern, found in MORE.items() if fnmatchcase(path, pattern)), {})
