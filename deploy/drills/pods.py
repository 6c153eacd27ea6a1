"""Run the chart's pods on this machine, without a cluster: `python -m deploy.drills.pods up test down`.

`up` renders the chart with the smallest example, takes Deployments and StatefulSets apart into pods, starts
these with `podman play kube` from the images of scripts/images.sh, under the chart's NetworkPolicies, and
waits until the probes of every container pass. `test` runs the pod of `helm test` to its end, then tries
every connection that a pod could make to another. `down` stops the pods as a cluster would and removes all
that `up` made. It needs root, and on Debian what scripts/images.sh installs, and iptables.

Podman has no Services, so every pod has the names of all of them among its hosts. It has no gRPC probes
either: they are asked from here. See docs/kubernetes-drill.md for what differs from a cluster.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import grpc
import yaml
from grpc_health.v1 import health_pb2

from deploy.drills import policies
from deploy.drills.controllers import (
    NAMESPACE,
    NETWORK,
    SUBNET,
    Manifest,
    Pod,
    names,
    playable,
    pods,
    volume_name,
)

ROOT: Final = Path(__file__).resolve().parents[2]
CHART: Final = ROOT / "deploy/helm/vitrine"
RELEASE: Final = "drill"
# What podman was given, until it is removed.
PLAYED: Final = ROOT / "var" / NETWORK
# Above a container's own startup budget; weights are copied before that clock starts.
INIT_TIMEOUT_S: Final = 300.0

# Reads addresses, tells those that answer. It runs in the network of a pod, with nothing of the project.
CONNECT: Final = """
import socket, sys
for line in sys.stdin.read().split():
    host, port = line.split(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError:
        continue
    print(line)
"""


def say(message: str) -> None:
    """Tell a step."""
    print(f"pods: {message}", flush=True)


def podman(*arguments: str, check: bool = True) -> str:
    """What podman prints; SystemExit where it fails and `check` is set."""
    settings = ROOT / "var/containers.conf"
    environment = dict(os.environ)
    if settings.exists():
        environment.setdefault("CONTAINERS_CONF", str(settings))
    done = subprocess.run(
        ["podman", *arguments], check=False, capture_output=True, text=True, env=environment
    )
    if check and done.returncode:
        raise SystemExit(f"pods: podman {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def rendered() -> list[Manifest]:
    """The chart's manifests with the smallest example and the images of this machine."""
    helm = shutil.which("helm4", path=ROOT / ".venv/tools") or shutil.which("helm")
    if helm is None:
        raise SystemExit("pods: there is no helm; run `make setup` first")
    values = CHART / "examples/minimal.yaml"
    command = [helm, "template", RELEASE, str(CHART), "--namespace", NAMESPACE, "--values", str(values)]
    text = subprocess.run(
        [*command, "--set", "global.imageRegistry=localhost"], check=True, capture_output=True, text=True
    ).stdout
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


def make_volume(pod: Pod, volume: Manifest) -> None:
    """A volume with the rights that kubelet gives it: of the pod's group, and writable to it."""
    name = volume_name(pod, volume)
    # It may be there from an earlier run of the pod; where it is not, the next line says so.
    podman("volume", "create", "--label", f"vitrine={RELEASE}", name, check=False)
    folder = podman("volume", "inspect", "--format", "{{.Mountpoint}}", name)
    group = pod.spec.get("securityContext", {}).get("fsGroup")
    if group is not None:
        os.chown(folder, -1, group)
    # The bit that files inherit the group by.
    Path(folder).chmod(0o2777 if "emptyDir" in volume else 0o2775)


def start(pod: Pod, hosts: Mapping[str, Sequence[str]], *arguments: str) -> None:
    """Start a pod at its address."""
    for volume in pod.spec.get("volumes", []):
        make_volume(pod, volume)
    PLAYED.mkdir(parents=True, exist_ok=True)
    file = PLAYED / f"{pod.name}.yaml"
    file.write_text(yaml.safe_dump(playable(pod, hosts), sort_keys=False), encoding="utf-8")
    podman("play", "kube", "--network", NETWORK, "--ip", pod.address, *arguments, str(file))


def healthy(pod: Pod, probe: Manifest) -> str:
    """The answer to a gRPC probe: empty where it passes, else what is wrong."""
    target = f"{pod.address}:{probe['grpc']['port']}"
    request = health_pb2.HealthCheckRequest(service=probe["grpc"].get("service", ""))
    # A channel of its own for every question, as kubelet does.
    with grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        call = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            status = call(request, timeout=probe.get("timeoutSeconds", 1)).status
        except grpc.RpcError as error:
            return str(error.code())
    if status == health_pb2.HealthCheckResponse.SERVING:
        return ""
    return health_pb2.HealthCheckResponse.ServingStatus.Name(status)


def unready(pod: Pod) -> str:
    """The first probe of a pod that does not pass; empty where all do."""
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        for container in pod.spec["containers"]:
            if kind in container and (wrong := healthy(pod, container[kind])):
                return f"{kind} of {container['name']} says {wrong}"
    return ""


def logs(pod: Pod) -> str:
    """The last lines of a pod's containers."""
    containers = (f"{pod.name}-{container['name']}" for container in pod.spec["containers"])
    return "\n".join(podman("logs", "--tail", "20", name, check=False) for name in containers)


def startup_budget_s(pod: Pod) -> float:
    """How long kubelet would let the pod's containers start."""
    probes = [container["startupProbe"] for container in pod.spec["containers"]]
    return max(float(probe["failureThreshold"] * probe["periodSeconds"]) for probe in probes)


def inside(pod: Pod, *command: str, text: str) -> str:
    """What a command of this machine prints in the network of a pod, given `text`."""
    infra = podman("pod", "inspect", "--format", "{{.InfraContainerID}}", pod.name)
    process = podman("inspect", "--format", "{{.State.Pid}}", infra)
    command = ("nsenter", "--target", process, "--net", *command)
    return subprocess.run(command, check=True, input=text, capture_output=True, text=True).stdout


def is_up(pod: Pod) -> bool:
    """Whether this is a pod that stays, unlike those of tests."""
    return pod.spec.get("restartPolicy") != "Never"


def up() -> None:
    """Render, start and wait."""
    removed()
    manifests = rendered()
    kinds = Counter(manifest["kind"] for manifest in manifests)
    say("rendered " + ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items())))
    everything = [*pods(manifests)]
    hosts = names(manifests, everything)
    podman("network", "create", "--subnet", f"{SUBNET}.0/24", NETWORK)
    waiting: dict[str, tuple[Pod, float]] = {}
    for pod in filter(is_up, everything):
        started_s = time.monotonic()
        start(pod, hosts)
        enforce(pod, manifests)
        waiting[pod.name] = (pod, started_s)
        inits = [container["name"] for container in pod.spec.get("initContainers", [])]
        say(f"started {pod.name} at {pod.address}" + (f" after {', '.join(inits)}" if inits else ""))
    total = len(waiting)
    while waiting:
        for pod, started_s in [*waiting.values()]:
            taken_s = time.monotonic() - started_s
            if not (wrong := unready(pod)):
                say(f"{pod.name} is ready {taken_s:.1f} s after its start")
                del waiting[pod.name]
            elif taken_s > INIT_TIMEOUT_S + startup_budget_s(pod):
                raise SystemExit(f"pods: {pod.name}: {wrong}\n{logs(pod)}")
        time.sleep(0.1)
    say(f"{total} of {total} pods are ready by their probes")


def enforce(pod: Pod, manifests: Sequence[Manifest]) -> None:
    """Hold a pod to the NetworkPolicies."""
    inside(pod, "iptables-restore", text=policies.rules(pod, _policies(manifests), [*pods(manifests)]))


def _policies(manifests: Sequence[Manifest]) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == "NetworkPolicy"]


def test() -> None:
    """Run the pods of `helm test` and try all connections; SystemExit where one is not as it should be."""
    manifests = rendered()
    everything = [*pods(manifests)]
    hosts = names(manifests, everything)
    for pod in everything:
        if is_up(pod):
            continue
        started_s = time.monotonic()
        start(pod, hosts, "--replace")
        enforce(pod, manifests)
        for container in pod.spec["containers"]:
            name = f"{pod.name}-{container['name']}"
            say(f"helm test: {' '.join([*container['command'], *container.get('args', [])])}")
            status = podman("wait", name)
            print(podman("logs", name), flush=True)
            if status != "0":
                raise SystemExit(f"pods: helm test ended with {status}")
            say(f"helm test passed, {time.monotonic() - started_s:.1f} s")
    try_connections(manifests, [*filter(is_up, everything)])


def try_connections(manifests: Sequence[Manifest], services: Sequence[Pod]) -> None:
    """Connect from every pod to every port of every other; SystemExit where the policies say otherwise."""
    tried = 0
    open_: list[str] = []
    for source in services:
        targets = {
            f"{target.address}:{port['containerPort']}": (target, port["containerPort"])
            for target in services
            for container in target.spec["containers"]
            for port in container["ports"]
            if target is not source
        }
        found = inside(source, sys.executable, "-c", CONNECT, text="\n".join(targets)).split()
        for address, (target, port) in targets.items():
            said = policies.connects(source, target, port, _policies(manifests), [*pods(manifests)])
            if (address in found) != said:
                verb = "reaches" if address in found else "does not reach"
                raise SystemExit(f"pods: {source.name} {verb} {target.name}:{port}, against the policies")
            tried += 1
            if said:
                open_.append(f"{_component(source)} -> {_component(target)}:{port}")
    say(f"{tried} connections tried between pods; open are only " + ", ".join(open_))


def _component(pod: Pod) -> str:
    return pod.labels["app.kubernetes.io/component"]


def down() -> None:
    """Stop and remove all; SystemExit where a container did not end by itself, with 0."""
    if wrong := removed():
        raise SystemExit(f"pods: not as they should: {', '.join(wrong)}")


def removed() -> list[str]:
    """Remove pods, volumes and network; the names of containers that ended with another status than 0."""
    wrong: list[str] = []
    for file in sorted(PLAYED.glob("*.yaml")):
        pod = yaml.safe_load(file.read_text(encoding="utf-8"))
        ended: list[str] = []
        for container in pod["spec"]["containers"]:
            name = f"{pod['metadata']['name']}-{container['name']}"
            grace_s = pod["spec"].get("terminationGracePeriodSeconds", 30)
            before_s = time.monotonic()
            podman("stop", "--time", str(grace_s), name, check=False)
            status = podman("inspect", "--format", "{{.State.ExitCode}}", name, check=False)
            ended.append(f"{status} after {time.monotonic() - before_s:.1f} s")
            if status != "0":
                wrong.append(name)
        podman("pod", "rm", "--force", "--ignore", pod["metadata"]["name"])
        say(f"removed {pod['metadata']['name']}: ended with {', '.join(ended)}")
    volumes = podman("volume", "ls", "--quiet", "--filter", f"label=vitrine={RELEASE}").split()
    if volumes:
        podman("volume", "rm", "--force", *volumes)
        say(f"removed {len(volumes)} volumes and the network")
    podman("network", "rm", "--force", NETWORK, check=False)
    shutil.rmtree(PLAYED, ignore_errors=True)
    return wrong


COMMANDS: Final = {"up": up, "test": test, "down": down}


def main() -> None:
    """Run the commands named, in order."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("commands", nargs="+", choices=COMMANDS)
    for command in parser.parse_args().commands:
        COMMANDS[command]()


if __name__ == "__main__":
    main()
