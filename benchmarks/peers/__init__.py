"""What one would serve the same model with instead. `python -m benchmarks.peers.NAME` each."""
