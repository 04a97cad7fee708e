"""Muon for the matrices of the blocks, AdamW for everything else, as one optimiser.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) replaces the momentum of a matrix by the
nearest semi-orthogonal one; the update is scaled to AdamW's root mean square of 0.2 (Liu et al. 2025,
arXiv 2502.16982, equation 4), so that both parts share one learning rate.

`torch.optim.Muon` (torch 2.13) gives the same updates but for rounding. It lacks precision (it orthogonalises
in bfloat16 on every device) and the dealing out of the matrices to the processes of a training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, overload

import torch
from torch import Tensor, nn

from models.distributed.ranks import Ranks

MOMENTUM = 0.95
BETAS = (0.9, 0.98)
EPSILON = 1e-8
ORTHOGONAL_STEPS = 5
# Quintic Newton-Schulz coefficients of the Muon reference; they send singular values to about 0.7-1.2.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
UPDATE_SIZE = 0.2


def orthogonalise(matrix: Tensor) -> Tensor:
    """Nearly the semi-orthogonal factor U V^T of a matrix U S V^T, by a Newton-Schulz iteration."""
    a, b, c = COEFFICIENTS
    wide = matrix.mT if matrix.shape[0] > matrix.shape[1] else matrix
    x = wide / (wide.norm() + 1e-7)
    for _ in range(ORTHOGONAL_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    factor: Tensor = x.mT if matrix.shape[0] > matrix.shape[1] else x
    return factor


class MuonAdamW(torch.optim.Optimizer):
    """Two groups of parameters: `muon` for matrices inside the blocks, `adamw` for the rest.

    Parameters
    ----------
    network : nn.Module
        Two-dimensional parameters whose name starts with "blocks." go to Muon.
    learning_rate, weight_decay : float
        Of both groups; parameters with fewer than two axes are not decayed.
    ranks : Ranks, optional
        The processes that train together, all with the same gradients: each orthogonalises its share of the
        matrices and hands the factors on. Every process keeps all of the state.
    """

    def __init__(
        self, network: nn.Module, *, learning_rate: float, weight_decay: float, ranks: Ranks | None = None
    ) -> None:
        self._ranks = ranks or Ranks()
        named = list(network.named_parameters())
        muon = [parameter for name, parameter in named if name.startswith("blocks.") and parameter.ndim == 2]
        taken = {id(parameter) for parameter in muon}
        rest = [parameter for _, parameter in named if id(parameter) not in taken]
        groups: list[dict[str, Any]] = [
            {"params": muon, "kind": "muon"},
            {"params": [parameter for parameter in rest if parameter.ndim > 1], "kind": "adamw"},
            {"params": [p for p in rest if p.ndim <= 1], "kind": "adamw", "weight_decay": 0.0},
        ]
        super().__init__(groups, {"lr": learning_rate, "weight_decay": weight_decay})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                moved = [parameter for parameter in group["params"] if parameter.grad is not None]
                updates = self._muon(moved) if group["kind"] == "muon" else map(self._adamw, moved)
                for parameter, update in zip(moved, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.sub_(group["lr"] * update)
        return loss

    def _muon(self, matrices: Sequence[Tensor]) -> list[Tensor]:
        """Updates of the matrices, each worked out in one process."""
        factors = []
        for place, matrix in enumerate(matrices):
            gradient = self._gradient(matrix)
            momentum = self.state[matrix].setdefault("momentum", torch.zeros_like(gradient))
            momentum.lerp_(gradient, 1 - MOMENTUM)
            own = place % self._ranks.world_size == self._ranks.rank
            factors.append(
                orthogonalise(torch.lerp(gradient, momentum, MOMENTUM)) if own else torch.empty_like(gradient)
            )
        return [UPDATE_SIZE * math.sqrt(max(each.shape)) * each for each in self._ranks.dealt(factors)]

    def _adamw(self, parameter: Tensor) -> Tensor:
        gradient, state = self._gradient(parameter), self.state[parameter]
        count = state["count"] = state.get("count", 0) + 1
        mean = state.setdefault("mean", torch.zeros_like(gradient)).lerp_(gradient, 1 - BETAS[0])
        square = state.setdefault("square", torch.zeros_like(gradient))
        square.lerp_(gradient.square(), 1 - BETAS[1])
        size = (square / (1 - BETAS[1] ** count)).sqrt() + EPSILON
        update: Tensor = mean / (1 - BETAS[0] ** count) / size
        return update

    @staticmethod
    def _gradient(parameter: Tensor) -> Tensor:
        if parameter.grad is None:
            raise ValueError("a parameter without a gradient is not moved")
        return parameter.grad
