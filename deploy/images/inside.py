"""Look at an image from inside a container of it: `python3 - ARGUMENTS < deploy/images/inside.py`.

Every thing that is not as it should be is a line, and the exit status is then 1. Only the standard library is
imported unless there is a server to ask: one of the images has no packages at all.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import stat
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

USER = 10001
COMPILERS = ("cc", "gcc", "g++", "clang", "make", "ld", "rustc", "go")
WRITABLE = ("/tmp",)  # noqa: S108 - the folder that it is about
PROGRAMS = ("/usr/bin", "/usr/sbin", "/usr/local/bin")
UNWRITABLE = ("/", "/etc", "/usr/bin", "/opt", "/opt/vitrine")


def process(pid: str = "1") -> dict[str, list[str]]:
    """What the kernel tells about a process, by name."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return {name: value.split() for name, _, value in (line.partition(":") for line in lines)}


def rights() -> Iterator[str]:
    """What the first process may do but should not."""
    status = process()
    for kind in ("Uid", "Gid"):
        if set(status[kind]) != {str(USER)}:
            yield f"{kind} is {status[kind]}"
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        if int(status[kind][0], 16):
            yield f"{kind} is {status[kind][0]}"
    if status["NoNewPrivs"] != ["1"]:
        yield "it may gain privileges"
    if status["Seccomp"] != ["2"]:
        yield "no filter of system calls"


def writes(folder: str) -> bool:
    """Whether a file can be made in `folder`."""
    probe = Path(folder) / ".probe"
    try:
        probe.touch()
    except OSError:
        return False
    probe.unlink()
    return True


def files() -> Iterator[str]:
    """What can be written, or not, against our wish, and programs that have no business here."""
    for folder in UNWRITABLE:
        if writes(folder):
            yield f"{folder} can be written"
    for folder in WRITABLE:
        if not writes(folder):
            yield f"{folder} cannot be written"
    for compiler in COMPILERS:
        if shutil.which(compiler):
            yield f"there is {compiler}"
    for folder in PROGRAMS:
        for program in Path(folder).iterdir():
            if program.is_file() and program.stat().st_mode & (stat.S_ISUID | stat.S_ISGID):
                yield f"{program} runs with other rights than its caller's"


def modules(absent: list[str]) -> Iterator[str]:
    """Those of `absent` that can be imported."""
    for name in absent:
        if importlib.util.find_spec(name):
            yield f"{name} can be imported"


def unhealthy(check: str, timeout_s: float) -> Iterator[str]:
    """Why `check` (PORT/SERVICE) does not serve within the time."""
    # Not every image has a server.
    import grpc  # noqa: PLC0415
    from grpc_health.v1 import health_pb2  # noqa: PLC0415

    port, service = check.split("/")
    request = health_pb2.HealthCheckRequest(service=service)
    end_s = time.monotonic() + timeout_s
    answer = ""
    while time.monotonic() < end_s:
        # A channel whose first attempt was refused waits before it connects again; a new one does not.
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            call = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            try:
                status = call(request, timeout=1).status
            except grpc.RpcError as error:
                answer = str(error.code())
            else:
                if status == health_pb2.HealthCheckResponse.SERVING:
                    return
                answer = health_pb2.HealthCheckResponse.ServingStatus.Name(status)
        time.sleep(0.05)
    yield f"{check} is {answer} after {timeout_s:.0f} s"


def silent(page: str) -> Iterator[str]:
    """Why `page` (PORT/PATH) is not served over HTTP."""
    port, path = page.split("/", 1)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=10) as reply:
            reply.read(1)
    except OSError as error:
        yield f"{page} does not answer: {error}"


def options(arguments: list[str]) -> argparse.Namespace:
    """What to look at."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--absent", nargs="*", default=[], help="modules that must not be there")
    parser.add_argument(
        "--serving", nargs="*", default=[], metavar="PORT/SERVICE", help="what must be healthy"
    )
    parser.add_argument(
        "--pages", nargs="*", default=[], metavar="PORT/PATH", help="what must answer over HTTP"
    )
    parser.add_argument("--timeout-s", type=float, default=60.0, help="for becoming healthy")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Print what is wrong; 1 where something is."""
    told = options(arguments)
    wrong = [*rights(), *files(), *modules(told.absent)]
    for check in told.serving:
        wrong += unhealthy(check, told.timeout_s)
    for page in told.pages:
        wrong += silent(page)
    for line in wrong:
        print(line, file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
