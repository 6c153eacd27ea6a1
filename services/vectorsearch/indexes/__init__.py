"""Approximate indexes beside the exact search: built in the background, measured, swapped in whole."""
