"""How long it takes until what was acknowledged is found through another gateway.

python -m benchmarks.gateway.visibility WRITE_SERVER READ_SERVER [--writes 300] [--results DIR]

Both servers are gateways of one mesh that runs already, which gets a catalogue for the time. A product is
written through the one, and the other is asked again and again, without a revision to wait for and without
its cache, until it finds it; then the product is deleted, and asked for until it is gone. The clock starts
when the write is acknowledged, so the poll's own round trip is part of each figure.
"""

from __future__ import annotations

import argparse
import io
import secrets
import time
from pathlib import Path

import uvloop
from google.protobuf.duration_pb2 import Duration
from PIL import Image

from benchmarks.report import RESULTS, percentiles_ms, progress, publish
from services.mesh.channel import call, connect
from vitrine.v1 import catalog_pb2, catalog_pb2_grpc, common_pb2, search_pb2, search_pb2_grpc

ANCHOR = "anchor"
TIMEOUT_S = 30.0
# Longer ones are a failure, and no figure.
PATIENCE_S = 60.0


def main() -> None:
    """Measure and print the JSON."""
    parser = argparse.ArgumentParser(description="From acknowledgement to searchable.")
    parser.add_argument("write_server")
    parser.add_argument("read_server")
    parser.add_argument("--writes", type=int, default=300)
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the JSON is written")
    arguments = parser.parse_args()
    found_s, gone_s = uvloop.run(
        measured(arguments.write_server, arguments.read_server, writes=arguments.writes)
    )
    publish(
        "visibility",
        {
            "writes": arguments.writes,
            "searchable": percentiles_ms(found_s),
            "gone": percentiles_ms(gone_s),
        },
        {"searchable": found_s, "gone": gone_s},
        directory=arguments.results,
    )


async def measured(write_server: str, read_server: str, *, writes: int) -> tuple[list[float], list[float]]:
    """The seconds until each product was found, and until each was gone."""
    async with connect(write_server) as to, connect(read_server) as of:
        shop = _Shop(catalog_pb2_grpc.CatalogServiceStub(to), search_pb2_grpc.SearchServiceStub(of))
        await shop.open()
        try:
            found_s, gone_s = [], []
            for number in range(writes):
                if number % 100 == 0:
                    progress(f"{number} of {writes} products")
                found_s.append(await shop.until_found(number))
                gone_s.append(await shop.until_gone(number))
        finally:
            await shop.close()
    return found_s, gone_s


class _Shop:
    """A catalogue of a product that stays, which searches ask for the like of, and one that does not."""

    def __init__(
        self,
        catalog: catalog_pb2_grpc.CatalogServiceAsyncStub,
        search: search_pb2_grpc.SearchServiceAsyncStub,
    ) -> None:
        self._name = f"catalogs/visibility-{secrets.token_hex(4)}"
        self._catalog = catalog
        self._search = search

    async def open(self) -> None:
        """Create it."""
        request = catalog_pb2.CreateCatalogRequest(catalog_id=self._name.partition("/")[2])
        await call(self._catalog.CreateCatalog, request, timeout_s=TIMEOUT_S)
        await self._found(min_revision=await self._write(ANCHOR, 0))

    async def close(self) -> None:
        """Delete it."""
        request = catalog_pb2.DeleteCatalogRequest(name=self._name, force=True)
        await call(self._catalog.DeleteCatalog, request, timeout_s=TIMEOUT_S)

    async def until_found(self, number: int) -> float:
        """Write a product; the seconds from its acknowledgement until a search finds it."""
        await self._write(f"p{number}", number + 1)
        return await self._until(f"p{number}", is_there=True)

    async def until_gone(self, number: int) -> float:
        """Delete it; the seconds until no search finds it any more."""
        request = catalog_pb2.DeleteProductRequest(name=f"{self._name}/products/p{number}")
        await call(self._catalog.DeleteProduct, request, timeout_s=TIMEOUT_S)
        return await self._until(f"p{number}", is_there=False)

    async def _until(self, product: str, *, is_there: bool) -> float:
        start_s = time.perf_counter()
        while (product in await self._found()) is not is_there:
            if time.perf_counter() - start_s > PATIENCE_S:
                raise SystemExit(f"{product} is not as written after {PATIENCE_S:.0f} s")
        return time.perf_counter() - start_s

    async def _found(self, *, min_revision: int = 0) -> set[str]:
        request = search_pb2.SearchRequest(
            catalog=self._name,
            parts=[search_pb2.QueryPart(product=ANCHOR)],
            max_staleness=Duration(),
            min_revision=min_revision,
        )
        response = await call(self._search.Search, request, timeout_s=TIMEOUT_S)
        return {hit.product.name.rpartition("/")[2] for hit in response.hits}

    async def _write(self, product: str, number: int) -> int:
        photo = catalog_pb2.Photo(image=common_pb2.Image(content=_picture(number)))
        request = catalog_pb2.BatchUpsertProductsRequest(
            catalog=self._name,
            products=[
                catalog_pb2.UpsertProduct(
                    product=catalog_pb2.Product(name=f"{self._name}/products/{product}", photos=[photo])
                )
            ],
        )
        response = await call(self._catalog.BatchUpsertProducts, request, timeout_s=TIMEOUT_S)
        if response.results[0].status.code:
            raise SystemExit(f"{product} was not written: {response.results[0].status.message}")
        return response.revision


def _picture(number: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), (number >> 8 & 255, number & 255, 128)).save(out, "PNG")
    return out.getvalue()


if __name__ == "__main__":
    main()
