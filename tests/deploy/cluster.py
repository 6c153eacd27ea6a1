"""A server that answers as the API of a cluster does when it is asked what runs, which templates look up.

It is asked for the kinds that there are, and for single objects, and has nothing else. Source:
https://kubernetes.io/docs/reference/using-api/api-concepts/ and
https://kubernetes.io/docs/concepts/overview/kubernetes-api/ ("Discovery API").
"""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from tests.deploy.charts import NAMESPACE, Object


def _plural(kind: str) -> str:
    """What a kind is called in paths."""
    small = kind.lower()
    return (
        f"{small.removesuffix('y')}ies"
        if small.endswith("y")
        else f"{small}{'es' if small.endswith('s') else 's'}"
    )


def _path(group_version: str) -> str:
    return f"/apis/{group_version}" if "/" in group_version else f"/api/{group_version}"


def _discovery(kinds: Collection[tuple[str, str]]) -> dict[str, Object]:
    """What is answered of which kinds there are, by path; each kind with its group and version."""
    groups: list[Object] = []
    answers: dict[str, Object] = {
        "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
    }
    for group_version in sorted({version for version, _ in kinds} | {"v1"}):
        group, _, version = group_version.rpartition("/")
        known = {"groupVersion": group_version, "version": version}
        if group:
            groups.append({"name": group, "versions": [known], "preferredVersion": known})
        answers[_path(group_version)] = {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": group_version,
            "resources": [
                {
                    "name": _plural(kind),
                    "singularName": "",
                    "namespaced": True,
                    "kind": kind,
                    "verbs": ["get"],
                }
                for of, kind in sorted(kinds)
                if of == group_version
            ],
        }
    return answers


class _Api(BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, Object]] = {}

    def do_GET(self) -> None:
        answer = self.answers.get(self.path.partition("?")[0])
        missing = {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "reason": "NotFound",
            "code": 404,
        }
        body = json.dumps(missing if answer is None else answer).encode()
        self.send_response(HTTPStatus.NOT_FOUND if answer is None else HTTPStatus.OK)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the name is the base's)
        """Nothing: nobody reads it."""


@contextmanager
def cluster(running: Collection[Object], kinds: Collection[tuple[str, str]]) -> Iterator[str]:
    """The address of an API that knows these kinds, and has these objects where charts are rendered for."""
    answers = _discovery(kinds)
    for each in running:
        place = f"{_path(each['apiVersion'])}/namespaces/{NAMESPACE}/{_plural(each['kind'])}"
        answers[f"{place}/{each['metadata']['name']}"] = each
    handler = type("Api", (_Api,), {"answers": answers})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
