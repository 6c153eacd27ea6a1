"""Where the catalogue lives: an append-only log of changes, and projections of it to read from."""
