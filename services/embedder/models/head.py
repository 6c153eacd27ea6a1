"""The small trained part on top of a frozen model: a linear map plus a two-layer net, then L2."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class Head(nn.Module):
    """Features [n, in] -> vectors [n, out], L2-normalised.

    The net adds to the linear map what such a map cannot say.
    """

    def __init__(self, in_dim: int, out_dim: int, *, hidden_dim: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.linear = nn.Linear(in_dim, out_dim)
        self.widen = nn.Linear(in_dim, hidden_dim)
        self.narrow = nn.Linear(hidden_dim, out_dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: Tensor) -> Tensor:
        """Features of any length: they are brought to length sqrt(in), so that a unit has size one."""
        x = F.normalize(features, dim=-1) * features.shape[-1] ** 0.5
        x = self.dropout(x)
        return F.normalize(self.linear(x) + self.narrow(self.dropout(F.gelu(self.widen(x)))), dim=-1)
