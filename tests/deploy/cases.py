"""The installations that are looked at: the chart's defaults, its examples, and one with everything on."""

from __future__ import annotations

from typing import Any

from tests.deploy.charts import EXAMPLES, Object, values_of

_RESOURCES = {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "16Mi"}}
_CLOSED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


def _extras(name: str) -> dict[str, Any]:
    """What users may add to a component, in its shortest form."""
    beside = {"image": "example/beside:1.2", "securityContext": _CLOSED, "resources": _RESOURCES}
    return {
        "extraEnvVars": [
            {"name": "SOME_TEXT", "value": "{{ .Release.Name }}"},
            {"name": "SOME_FIELD", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ],
        "extraEnvVarsCM": f"{name}-more",
        "extraEnvVarsSecret": f"{name}-more-secrets",
        "extraVolumes": [{"name": "extra", "configMap": {"name": f"{name}-files"}}],
        "extraVolumeMounts": [{"name": "extra", "mountPath": "/extra"}],
        "initContainers": [{"name": "before", **beside}],
        "sidecars": [{"name": "beside", **beside}],
        "podLabels": {"team": "search"},
        "podAnnotations": {"example.com/owner": "search"},
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "Exists"}]}]
                }
            }
        },
        "priorityClassName": "important",
        "runtimeClassName": "gvisor",
        "serviceAccount": {"annotations": {"example.com/role": name}},
        "pdb": {"minAvailable": "50%"},
    }


EVERYTHING: Object = {
    "global": {"imageRegistry": "registry.example.com", "imagePullSecrets": ["pull"], "storageClass": "fast"},
    "commonLabels": {"shop.example/team": "search"},
    "commonAnnotations": {"shop.example/contact": "search"},
    "extraDeploy": [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "{{ .Release.Name }}-extra",
                "labels": {
                    f"app.kubernetes.io/{label}": "extra"
                    for label in ("component", "instance", "managed-by", "name", "version")
                }
                | {"helm.sh/chart": "none"},
            },
            "data": {"key": "value"},
        }
    ],
    "store": {"url": "mongodb://somebody:secret@mongodb.data.svc/vitrine"},
    "cache": {"url": "redis://:secret@redis.data.svc:6379/0"},
    "access": {
        "mode": "keys",
        "adminKeyHash": "0" * 64,
        "feedKey": "vk_example",
        "jwt": {
            "existingConfigMap": "jwks",
            "issuer": "https://login.example.com",
            "audience": "shop",
        },
    },
    "models": {"previous": {"tag": "0.0.9"}},
    "tls": {
        "enabled": True,
        "requireClientCertificates": True,
        "extraDnsNames": ["search.example.com"],
        "certManager": {"enabled": True, "issuerRef": {"name": "mesh"}},
    },
    "tracing": {
        "enabled": True,
        "endpoint": "https://collector.monitoring.svc:4317",
        "sampleRatio": 0.5,
        "ca": {"existingConfigMap": "authorities"},
    },
    "metrics": {
        "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
        "dashboards": {"enabled": True},
        "adapterRules": {"enabled": True},
    },
    "networkPolicy": {
        "allowExternal": False,
        "ingressNSMatchLabels": {"kubernetes.io/metadata.name": "ingress"},
        "prometheus": {"namespaceMatchLabels": {"kubernetes.io/metadata.name": "monitoring"}},
        "pictures": {"extraExcept": ["198.51.100.0/24"]},
    },
    "ingress": {
        "enabled": True,
        "hostname": "shop.example.com",
        "tls": True,
        "grpc": {"enabled": True, "hostname": "grpc.example.com", "tls": True},
    },
    "gateway": {
        **_extras("gateway"),
        "autoscaling": {"enabled": True, "minReplicas": 2},
    },
    "feed": {**_extras("feed"), "enabled": True},
    "ranker": {**_extras("ranker"), "autoscaling": {"enabled": True, "minReplicas": 2}},
    "embedder": {
        **_extras("embedder"),
        "autoscaling": {"enabled": True, "minReplicas": 2},
        "classes": {"cuda": {"enabled": True}, "cpu": {"autoscaling": {"enabled": False}, "replicaCount": 2}},
    },
    "vectorsearch": {
        **_extras("vectorsearch"),
        "autoscaling": {"enabled": True, "minReplicas": 2, "maxReplicas": 4},
        "sets": {"a": {"shards": 2}, "b": {"shards": 3, "persistence": {"size": "20Gi"}}},
        "next": "b",
    },
    "jobs": {
        "import": {"enabled": True, "existingClaim": "products"},
        "generation": {"enabled": True},
        "snapshot": {"enabled": True, "timeZone": "Etc/UTC"},
    },
}

CASES: dict[str, Object] = {
    "defaults": {},
    **{example: values_of(example) for example in EXAMPLES},
    "everything": EVERYTHING,
}
