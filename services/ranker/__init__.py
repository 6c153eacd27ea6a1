"""Decides the final order of a search: taxonomy, semantics, hybrid score. Pure functions, thin server."""
