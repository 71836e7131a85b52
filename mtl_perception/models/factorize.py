"""Factorisation of full convolutions into separable ones, to start from a larger network."""

from __future__ import annotations

import re

import torch
from torch import Tensor

_TOWER = re.compile(r'(detection\.(?:classes|boxes)\.tower\.convolutions\.\d+)\.weight')


def separate(weight: Tensor) -> tuple[Tensor, Tensor]:
    """
    Return the depthwise [I, 1, k, k] and pointwise [O, I, 1, 1] weights closest to [O, I, k, k].

    For each input channel, the k x k kernels of all outputs become multiples of a single kernel:
    the best one in the least-squares sense is the first singular vector (Eckart and Young, 1936).
    Both factors carry the same share of the scale.
    """
    outputs, inputs, height, width = weight.shape
    kernels = weight.float().permute(1, 0, 2, 3).reshape(inputs, outputs, height * width)
    left, values, right = torch.linalg.svd(kernels, full_matrices=False)
    share = values[:, :1].sqrt()
    depthwise = (share * right[:, 0]).reshape(inputs, 1, height, width)
    return depthwise, (share * left[:, :, 0]).t().reshape(outputs, inputs, 1, 1)


def separate_towers(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Convert `weights` of a `lean` with full towers to those of one with separable towers."""
    found: dict[str, Tensor] = {}
    for key, weight in weights.items():
        tower = _TOWER.fullmatch(key)
        if tower and weight.dim() == 4:
            found[f'{tower[1]}.0.weight'], found[f'{tower[1]}.1.weight'] = separate(weight)
        else:
            found[key] = weight
    return found
