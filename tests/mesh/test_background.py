from __future__ import annotations

import asyncio

import pytest

from services.mesh.background import beside


async def test_work_goes_on_meanwhile_and_is_cancelled_on_leaving() -> None:
    """All works run inside, and none after."""
    begun, ended = asyncio.Event(), []

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async with beside(work, work, on_failure=lambda: None):
        await begun.wait()
        assert not ended
    assert ended == [True, True]


async def test_a_failure_is_told_at_once_and_raised_on_leaving() -> None:
    """Whoever asked is told when work fails, and sees why when leaving; other work is cancelled."""
    failed = asyncio.Event()

    async def fails() -> None:
        raise ValueError("broken")

    async def waits() -> None:
        await asyncio.Event().wait()

    with pytest.raises(ValueError, match="broken"):
        async with beside(fails, waits, on_failure=failed.set):
            await asyncio.wait_for(failed.wait(), 60)


async def test_work_that_ends_counts_as_failed() -> None:
    """Work without an end that ends is told of too."""
    ended = asyncio.Event()

    async def ends() -> None:
        await asyncio.sleep(0)

    async with beside(ends, on_failure=ended.set):
        await asyncio.wait_for(ended.wait(), 60)
