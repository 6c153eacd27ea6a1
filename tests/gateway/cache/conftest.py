from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.engines import redis


@pytest.fixture(scope="session")
def shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.RedisServer]:
    """A server for tests that leave it as it is; each has names of its own."""
    with redis.running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.RedisServer]:
    """A server to be hurt."""
    with redis.running(tmp_path_factory.mktemp("redis")) as server:
        yield server
