"""Where the pictures of products are kept: small files named by the content of the photo they show."""

from __future__ import annotations

from typing import Protocol


class PictureStore(Protocol):
    """Raises Unavailable (STORE_UNAVAILABLE) when what is behind it cannot be reached."""

    async def put(self, file: str, data: bytes) -> None:
        """Keep a picture under a name, durable when it returns; done again, it changes nothing."""

    async def get(self, file: str) -> bytes | None:
        """A picture."""
