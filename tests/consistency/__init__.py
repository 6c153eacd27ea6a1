"""Gateways, writers and searchers at once, on both stores. A package, so that its processes end with it."""
