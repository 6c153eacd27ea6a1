"""The environment of a rendered container, as a process in it would find it."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Mapping

import pytest

from scripts.chart_settings import SERVICES
from services.mesh.settings import ServiceSettings
from tests.deploy.charts import Object, Pod, Release

PREFIX = "VITRINE_"
# What stands in secrets that the user makes, by the setting they are for.
SECRETS = {
    "STORE_URL": "mongodb://somebody:secret@mongodb.shop.svc:27017/vitrine",
    "CACHE_URL": "redis://:secret@redis.shop.svc:6379/0",
    "ADMIN_KEY_HASH": "0" * 64,
    "FEED_KEY": "vk_test_0000000000000000",
}
_REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


def environment(container: Object, release: Release) -> dict[str, str]:
    """Every variable of a container with its value; those from the cluster have one of their kind."""
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        if (reference := source.get("configMapRef")) and (
            held := release.named("ConfigMap", reference["name"])
        ):
            found.update(held.get("data", {}))
    for variable in container.get("env", ()):
        name = variable["name"]
        if "value" in variable:
            value = _REFERENCE.sub(lambda match: found.get(match[1], match[0]), variable["value"])
        elif reference := variable["valueFrom"].get("configMapKeyRef"):
            held = release.named("ConfigMap", reference["name"])
            value = held["data"][reference["key"]] if held else ""
        elif "secretKeyRef" in variable["valueFrom"]:
            value = SECRETS.get(name.removeprefix(PREFIX).partition("_")[2], "secret")
        else:
            value = "10.0.0.1"
        found[name] = value
    return found


def service(pod: Pod) -> str:
    """The service whose settings a pod's environment has; empty for a pod that is none of them."""
    return pod.component if pod.component in SERVICES else ""


def main_container(pod: Pod) -> Object:
    """The one that serves: sidecars come after it."""
    return pod.containers[0]


def load(pod: Pod, release: Release) -> ServiceSettings:
    """The settings that the service reads from its environment; ValueError with what it says if it stops."""
    container = main_container(pod)
    return loaded(service(pod), environment(container, release), list(container.get("args", ())))


def loaded(name: str, variables: Mapping[str, str], arguments: list[str]) -> ServiceSettings:
    """The settings of a service with nothing but these variables and arguments."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(said):
        patch.setattr("os.environ", dict(variables))
        try:
            return SERVICES[name].load(arguments)
        except SystemExit as stopped:
            raise ValueError(said.getvalue().strip()) from stopped
