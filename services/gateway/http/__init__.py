"""HTTP and JSON in front of the gateway's flows, and the page."""

from services.gateway.http.app import create_app
from services.gateway.http.server import serve

__all__ = ["create_app", "serve"]
