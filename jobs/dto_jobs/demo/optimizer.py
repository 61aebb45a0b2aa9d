"""Muon for the demonstration's training: momentum whose matrices are made orthogonal before they are applied."""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor

MOMENTUM = 0.95
# The quintic Newton-Schulz iteration of Keller Jordan's Muon: five rounds bring all singular values near one.
QUINTIC = (3.4445, -4.7750, 2.0315)
ROUNDS = 5


class Muon:
    """Updates weight matrices; those of one shape are stacked, because many tiny products are slow on a CPU."""

    def __init__(self, matrices: Iterable[Tensor], learning_rate: float) -> None:
        self.learning_rate = learning_rate
        self.stacks: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        for matrix in matrices:
            self.stacks[tuple(matrix.shape)].append(matrix)
        self.momenta = {shape: torch.zeros(len(stack), *shape) for shape, stack in self.stacks.items()}

    def step(self, scale: float) -> None:
        """Apply the gradients with the learning rate times `scale`, and drop them."""
        with torch.no_grad():
            for shape, stack in self.stacks.items():
                gradient = torch.stack([matrix.grad for matrix in stack])
                momentum = self.momenta[shape].mul_(MOMENTUM).add_(gradient)
                update = orthogonal(gradient + MOMENTUM * momentum)
                self._apply(stack, update, self.learning_rate * scale * max(1.0, shape[0] / shape[1]) ** 0.5)

    @staticmethod
    def _apply(stack: list[Tensor], update: Tensor, size: float) -> None:
        for matrix, change in zip(stack, update, strict=True):
            matrix.add_(change, alpha=-size)
            matrix.grad = None


def orthogonal(stack: Tensor) -> Tensor:
    """Return the nearest orthogonal matrices, roughly, to a stack of shape (number, rows, columns)."""
    tall = stack.shape[1] > stack.shape[2]
    matrices = stack.mT if tall else stack
    matrices = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    first, third, fifth = QUINTIC
    for _ in range(ROUNDS):
        gram = matrices @ matrices.mT
        matrices = first * matrices + (third * gram + fifth * gram @ gram) @ matrices
    return matrices.mT if tall else matrices
