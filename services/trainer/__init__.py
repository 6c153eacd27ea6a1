"""The trainer: offline, from catalogue folders to the heads that the embedder ships."""
