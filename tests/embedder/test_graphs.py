from __future__ import annotations

import numpy as np
import pytest
import torch

from services.embedder.graphs import BUCKETS, Graphs, bucket_of


@pytest.mark.parametrize(("items", "bucket"), [(1, 1), (3, 4), (32, 32), (33, 33), (256, 256)])
def test_small_batches_are_padded_to_a_bucket(items: int, bucket: int) -> None:
    """A recorded graph serves all sizes up to its own; batches beyond the largest stay as they are."""
    assert bucket_of(items) == bucket


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("items", [1, 3, BUCKETS[-1], BUCKETS[-1] + 1])
def test_a_graph_gives_what_the_forward_gives(items: int) -> None:
    """Recorded, replayed or neither: the vectors of exactly the pictures that were given."""

    def forward(pixels: torch.Tensor, models: tuple[str, ...]) -> torch.Tensor:
        return pixels.float().mean(dim=(1, 2))

    graphs = Graphs(forward, torch.device("cuda:0"), [("any",)])
    for seed in range(3):
        images = np.random.default_rng(seed).integers(0, 256, (items, 8, 8, 3), np.uint8)
        np.testing.assert_allclose(graphs.run(images, ("any",)), images.mean(axis=(1, 2)), rtol=1e-4)
