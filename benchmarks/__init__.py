"""Measurements: one command, one JSON object as its last line, raw latencies beside it."""
