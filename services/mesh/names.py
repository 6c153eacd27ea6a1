"""Resource names: `catalogs/{catalog}`, what is under it, and `apiKeys/{key}`."""

from __future__ import annotations

import re

from services.mesh.errors import InvalidArgument

_CATALOG_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
# `.` and `..` as a part of a path name another one: who follows RFC 3986, 5.2.4, could not address them.
_PRODUCT_ID = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._~-]{1,128}")
_GENERATION_ID = re.compile(r"g[1-9][0-9]{0,8}")
_KEY_ID = re.compile(r"[a-z0-9]{8,32}")


def catalog_name(catalog: str) -> str:
    """The name of a catalogue."""
    return f"catalogs/{catalog}"


def product_name(catalog: str, product_id: str) -> str:
    """The name of a product."""
    return f"catalogs/{catalog}/products/{product_id}"


def check_catalog_id(catalog: str, field: str) -> str:
    """`catalog` itself; raises InvalidArgument naming `field` when it is not a catalogue id."""
    if not _CATALOG_ID.fullmatch(catalog):
        raise InvalidArgument(field, "a catalogue id has 1 to 63 lower-case letters, digits and hyphens")
    return catalog


def parse_catalog(name: str, field: str) -> str:
    """The id in the name of a catalogue; raises InvalidArgument naming `field` for anything else."""
    prefix, _, catalog = name.partition("/")
    if prefix != "catalogs" or not _CATALOG_ID.fullmatch(catalog):
        raise InvalidArgument(field, "must be catalogs/{catalog}")
    return catalog


def parse_product(name: str, field: str) -> tuple[str, str]:
    """Catalogue id and product id in a product's name; raises InvalidArgument naming `field` otherwise."""
    parts = name.split("/")
    if len(parts) != 4 or parts[0] != "catalogs" or parts[2] != "products":
        raise InvalidArgument(field, "must be catalogs/{catalog}/products/{product}")
    check_catalog_id(parts[1], field)
    return parts[1], check_product_id(parts[3], field)


def check_product_id(product_id: str, field: str) -> str:
    """`product_id` itself; raises InvalidArgument naming `field` when it is not a product id."""
    if not _PRODUCT_ID.fullmatch(product_id):
        raise InvalidArgument(
            field, "a product id has 1 to 128 letters, digits and . _ ~ -, and is not . or .."
        )
    return product_id


def generation_name(catalog: str, generation: str) -> str:
    """The name of a generation."""
    return f"catalogs/{catalog}/generations/{generation}"


def parse_generation(name: str, field: str) -> tuple[str, str]:
    """Catalogue and generation id in a generation's name; raises InvalidArgument naming `field` otherwise."""
    parts = name.split("/")
    if len(parts) != 4 or parts[0] != "catalogs" or parts[2] != "generations":
        raise InvalidArgument(field, "must be catalogs/{catalog}/generations/{generation}")
    if not _GENERATION_ID.fullmatch(parts[3]):
        raise InvalidArgument(field, "a generation id is a g and a number")
    return check_catalog_id(parts[1], field), parts[3]


def key_name(key_id: str) -> str:
    """The name of an API key."""
    return f"apiKeys/{key_id}"


def parse_key(name: str, field: str) -> str:
    """The id in the name of an API key; raises InvalidArgument naming `field` for anything else."""
    prefix, _, key_id = name.partition("/")
    if prefix != "apiKeys" or not _KEY_ID.fullmatch(key_id):
        raise InvalidArgument(field, "must be apiKeys/{key}")
    return key_id
