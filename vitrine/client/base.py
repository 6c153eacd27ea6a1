"""What both clients can do, however they wait."""

from __future__ import annotations

import grpc

from services.mesh import trace
from services.mesh.errors import DeadlineExceeded, NotFound, VitrineError
from vitrine.client import connection, operations
from vitrine.client.catalogs import Catalog, Generation
from vitrine.client.connection import TlsFiles
from vitrine.client.methods import Call, Listing
from vitrine.client.operations import Timeouts
from vitrine.client.patience import Patience
from vitrine.client.refusals import UNREACHED, domain_error

DEFAULT_SERVER = "127.0.0.1:50051"
# Batches of an upsert under way at once: the next is embedded while the last is being committed.
IN_FLIGHT = 2
# Calls that are never made again by themselves. They carry no request id by which the gateway would know a
# second try, which makes a second key, or fails for what the first has done.
ONCE = (
    "/vitrine.v1.AccessService/CreateApiKey",
    "/vitrine.v1.AccessService/DeleteApiKey",
    "/vitrine.v1.CatalogService/CreateCatalog",
    "/vitrine.v1.CatalogService/DeleteCatalog",
    "/vitrine.v1.CatalogService/CreateGeneration",
    "/vitrine.v1.CatalogService/DeleteGeneration",
)
# An outage that those wait out who wait for long anyway.
OUTAGE_S = 60.0


class BaseClient:
    """One catalogue behind the gateway at `server`.

    `key` is an API key or a token, `tls` encrypts the connection: with files of its own, or, when True, for a
    certificate of a public authority. A key should not travel without, except on this machine.
    """

    def __init__(
        self,
        server: str = DEFAULT_SERVER,
        *,
        catalog: str = "default",
        key: str | None = None,
        tls: TlsFiles | bool = False,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.server = server
        self.catalog = catalog
        self.timeouts = timeouts or Timeouts()
        self._credentials = connection.credentials(tls=tls)
        self._authorization = connection.authorization(key)
        self._has_answered = False

    search = Call(operations.searches.search)
    batch_search = Call(operations.searches.batch_search)
    pages = Listing(operations.searches.pages)
    hits = Listing(operations.searches.hits)

    get = Call(operations.products.get)
    list = Listing(operations.products.list_products)
    create = Call(operations.products.create)
    update = Call(operations.products.update)
    delete = Call(operations.products.delete)

    create_catalog = Call(operations.catalogs.create_catalog)
    get_catalog = Call(operations.catalogs.get_catalog)
    catalogs = Listing(operations.catalogs.list_catalogs)
    delete_catalog = Call(operations.catalogs.delete_catalog)

    create_generation = Call(operations.catalogs.create_generation)
    activate_generation = Call(operations.catalogs.activate_generation)
    delete_generation = Call(operations.catalogs.delete_generation)

    feedback = Call(operations.queries.feedback)
    queries = Listing(operations.queries.list_queries)
    query_stats = Call(operations.queries.query_stats)

    create_api_key = Call(operations.keys.create_api_key)
    api_keys = Listing(operations.keys.list_api_keys)
    delete_api_key = Call(operations.keys.delete_api_key)

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call: the trace, one a call, and who calls."""
        trace.begin()
        return (trace.propagated(), *self._authorization)

    def _failure(self, error: grpc.RpcError) -> VitrineError:
        """The domain error behind a failed call."""
        found = domain_error(self.server, error, trace_id=trace.current())
        self._has_answered |= found.reason not in UNREACHED
        return found

    def _patience(self, patience_s: float) -> Patience:
        return Patience(patience_s, answered=self._has_answered)


def ready_generation(catalog: Catalog, generation: str, *, is_late: bool) -> Generation | None:
    """A generation of a catalogue when it is ready, None while it is built.

    Raises NotFound when there is none of that id (any more), and DeadlineExceeded, with what keeps it from
    going on, when it `is_late`.
    """
    found = next((each for each in catalog.generations if each.id == generation), None)
    if found is None:
        raise NotFound(f"catalogue {catalog.id} has no generation {generation}")
    if found.state != "building":
        return found
    if is_late:
        why = f": {found.problem}" if found.problem else ""
        raise DeadlineExceeded(
            f"generation {generation} has {found.products} of {catalog.products} products{why}"
        )
    return None
