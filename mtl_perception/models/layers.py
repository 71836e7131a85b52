"""Building blocks shared by the pyramid and the heads."""

from __future__ import annotations

from torch import nn, Tensor
from torch.nn import functional


class ConvBlock(nn.Sequential):
    """Convolution without bias, batch norm, and ReLU unless `activation` is False."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1,
                 groups: int = 1, activation: bool = True) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            *([nn.ReLU(inplace=True)] if activation else []))


class SeparableBlock(nn.Sequential):
    """Depthwise 3x3 and pointwise 1x1 convolution (MobileNet, arXiv:1704.04861)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            ConvBlock(inputs, inputs, groups=inputs, activation=False),
            ConvBlock(inputs, outputs, kernel=1))


class GlobalPool(nn.Module):
    """
    Mean over the whole map, equal to nn.AdaptiveAvgPool2d(1).

    That module would be exported with a chain of nodes that computes the batch size.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return [B, C, 1, 1] for `x` [B, C, h, w]."""
        return x.mean(dim=(2, 3), keepdim=True)


def upsample_like(x: Tensor, reference: Tensor) -> Tensor:
    """
    Return `x` [B, C, h, w] repeated (nearest) to the height and width of `reference`.

    Each cell is repeated a whole number of times, and cells beyond `reference` are cut off, since
    an input whose sides are not multiples of the strides ends within a cell.
    """
    height, width = reference.shape[-2:]
    factor = -(-height // x.shape[-2]), -(-width // x.shape[-1])
    # By factors rather than to a size, which an exported graph would compute at run time.
    larger = functional.interpolate(x, scale_factor=factor, mode='nearest')
    return larger[..., :height, :width]
