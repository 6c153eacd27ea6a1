"""The embedder: pictures and words in, vectors of every space out."""
