"""The embedder against the bare model and against peers; the method is in docs/benchmarks.md."""
