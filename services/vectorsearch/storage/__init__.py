"""What a shard keeps on disk for quick starts: snapshots of mapped blocks, and a journal between them."""
