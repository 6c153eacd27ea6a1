"""The vector search shard: rows of photos in, the nearest products out, exactly."""
