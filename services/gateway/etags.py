"""Etags of products (AIP-154): names of what a shop states, whatever models make of it."""

from __future__ import annotations

import base64
import hashlib

from vitrine.v1 import catalog_pb2

_DIGEST_BYTES = 12


def etag_of(product: catalog_pb2.Product) -> str:
    """16 characters for the title, the description, the attributes, and the photos' ids and digests.

    Equal for equal statements, whenever and however often they were written.
    """
    stated = catalog_pb2.Product(
        title=product.title,
        description=product.description,
        attributes=product.attributes,
        photos=[catalog_pb2.Photo(id=photo.id, digest=photo.digest) for photo in product.photos],
    )
    digest = hashlib.blake2b(
        stated.SerializeToString(deterministic=True), digest_size=_DIGEST_BYTES, person=b"vitrine-etag"
    ).digest()
    return base64.urlsafe_b64encode(digest).decode()
