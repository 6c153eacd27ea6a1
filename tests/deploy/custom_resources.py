"""Schemas of the custom resources that the chart makes: of the fields that it uses, and of no others.

Sources: the API references of the Prometheus operator (monitoring.coreos.com/v1) and of cert-manager
(cert-manager.io/v1).
"""

from __future__ import annotations

from typing import Any

from jsonschema import Draft7Validator

from tests.deploy.charts import Object

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string", "minLength": 1}
_TEXT_MAP: Schema = {"type": "object", "additionalProperties": {"type": "string"}}
_DURATION: Schema = {"type": "string", "pattern": "^([0-9]+(ms|s|m|h|d|w|y))+$"}
_HOURS: Schema = {"type": "string", "pattern": "^([0-9]+(h|m|s))+$"}


def _map(required: tuple[str, ...] = (), /, **properties: Schema) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": properties,
    }


def _list(of: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "items": of}


_RELABELING = _map(
    sourceLabels=_list(_TEXT),
    separator={"type": "string"},
    targetLabel=_TEXT,
    regex={"type": "string"},
    replacement={"type": "string"},
    action={
        "enum": ["replace", "Replace", "keep", "Keep", "drop", "Drop", "labelmap", "labeldrop", "labelkeep"]
    },
)
_SELECTOR = _map(
    matchLabels=_TEXT_MAP,
    matchExpressions=_list(
        _map(
            ("key", "operator"),
            key=_TEXT,
            operator={"enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
            values=_list(_TEXT),
        )
    ),
)
_SPECS: dict[tuple[str, str], Schema] = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): _map(
        ("endpoints", "selector"),
        jobLabel=_TEXT,
        selector=_SELECTOR,
        namespaceSelector=_map(matchNames=_list(_TEXT)),
        podTargetLabels=_list(_TEXT),
        targetLabels=_list(_TEXT),
        endpoints=_list(
            _map(
                ("port",),
                port=_TEXT,
                path={"type": "string", "pattern": "^/"},
                scheme={"enum": ["http", "https"]},
                interval=_DURATION,
                scrapeTimeout=_DURATION,
                honorLabels={"type": "boolean"},
                relabelings=_list(_RELABELING),
                metricRelabelings=_list(_RELABELING),
            )
        ),
    ),
    ("monitoring.coreos.com/v1", "PrometheusRule"): _map(
        ("groups",),
        groups=_list(
            _map(
                ("name", "rules"),
                name=_TEXT,
                interval=_DURATION,
                limit={"type": "integer"},
                labels=_TEXT_MAP,
                rules=_list(
                    {
                        "oneOf": [
                            _map(("record", "expr"), record=_TEXT, expr=_TEXT, labels=_TEXT_MAP),
                            _map(
                                ("alert", "expr"),
                                alert=_TEXT,
                                expr=_TEXT,
                                labels=_TEXT_MAP,
                                annotations=_TEXT_MAP,
                                keep_firing_for=_DURATION,
                                **{"for": _DURATION},
                            ),
                        ]
                    }
                ),
            )
        ),
    ),
    ("cert-manager.io/v1", "Certificate"): _map(
        ("secretName", "issuerRef"),
        secretName=_TEXT,
        secretTemplate=_map(labels=_TEXT_MAP, annotations=_TEXT_MAP),
        commonName={"type": "string", "maxLength": 64},
        dnsNames=_list(_TEXT),
        ipAddresses=_list(_TEXT),
        duration=_HOURS,
        renewBefore=_HOURS,
        usages=_list({"enum": ["digital signature", "key encipherment", "server auth", "client auth"]}),
        issuerRef=_map(("name",), name=_TEXT, kind={"enum": ["Issuer", "ClusterIssuer"]}, group=_TEXT),
        privateKey=_map(
            algorithm={"enum": ["RSA", "ECDSA", "Ed25519"]},
            size={"enum": [256, 384, 521, 2048, 3072, 4096]},
            encoding={"enum": ["PKCS1", "PKCS8"]},
            rotationPolicy={"enum": ["Never", "Always"]},
        ),
    ),
}
KINDS = frozenset(_SPECS)


def problems(resource: Object) -> list[str]:
    """What is wrong with one custom resource; KeyError where its kind is not known here."""
    whole = _map(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion=_TEXT,
        kind=_TEXT,
        metadata=_map(("name",), name=_TEXT, namespace=_TEXT, labels=_TEXT_MAP, annotations=_TEXT_MAP),
        spec=_SPECS[resource["apiVersion"], resource["kind"]],
    )
    return [f"{error.json_path}: {error.message}" for error in Draft7Validator(whole).iter_errors(resource)]
