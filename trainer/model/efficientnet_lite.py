"""EfficientNet-Lite (Tan & Le 2019; the "lite" variants of Google's TPU repository, 2020): no squeeze-and-excitation, ReLU6.

Weights trained on ImageNet fit block for block (`trainer.distill`): so padding is TensorFlow's, at stride 2 one pixel more at the right and
the bottom.
"""

import math

import torch
from torch import nn
from torch.nn.functional import conv2d, pad
from torch.nn.utils.fusion import fuse_conv_bn_eval

LAST = 1280
# blocks, kernel, stride, expansion, channels of Lite0
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320))
_STEM = 32
_MEAN, _SCALE = 127.0, 128.0


class EfficientNetLite(nn.Sequential):
    """Pictures (N, 3, H, W), normalised, to a map (N, 1280, H / 32, W / 32); its children are the stem, seven stages and the last layer.

    Args:
        width: factor of the channels; 1 for Lite0 (3.4 M parameters, 0.39 G multiplications at 224 x 224), 1.1 for Lite2.
        depth: factor of the blocks in a stage; 1 for Lite0, 1.2 for Lite2.

    Attributes:
        channels: of the output of each child.
    """

    def __init__(self, width: float = 1.0, depth: float = 1.0) -> None:
        self.channels = [_STEM, *(_eighths(channels * width) for *_, channels in STAGES), LAST]
        children: list[nn.Module] = [ConvNorm(3, _STEM, 3, 2)]
        for number, (blocks, kernel, stride, expansion, _) in enumerate(STAGES):
            before, after = self.channels[number : number + 2]
            count = blocks if blocks == 1 else math.ceil(blocks * depth)  # the first and the last stage stay as they are
            shapes = [(before, stride), *[(after, 1)] * (count - 1)]
            children.append(nn.Sequential(*(_Block(inputs, after, kernel, step, expansion) for inputs, step in shapes)))
        super().__init__(*children, ConvNorm(after, LAST, 1))

    @staticmethod
    def normalise(pictures: torch.Tensor) -> torch.Tensor:
        """RGB uint8 as the weights expect it: float32 from -0.99 to 1."""
        return (pictures.float() - _MEAN) / _SCALE


def _eighths(channels: float) -> int:
    """The nearest multiple of 8, and no more than a tenth below."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


def pooled(layers: nn.Sequential, pictures: torch.Tensor, deep: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Means and deviations over the picture of the outputs of the last `deep` layers, the last one first.

    Args:
        layers: a network.
        pictures: (N, 3, H, W), normalised.
        deep: number of its children, counted from the last.

    Returns:
        Two lists of (N, channels).
    """
    hidden = pictures.float().contiguous(memory_format=torch.channels_last)
    means: list[torch.Tensor] = []
    deviations: list[torch.Tensor] = []
    for number, layer in enumerate(layers):
        hidden = layer(hidden)
        if number >= len(layers) - deep:
            pixels = hidden.float().permute(0, 2, 3, 1).flatten(1, 2)  # channels last
            means.insert(0, pixels.mean(1))
            deviations.insert(0, (pixels - means[0][:, None]).square().sum(1).div(max(1, pixels.shape[1] - 1)).clamp_min(1e-12).sqrt())
    return means, deviations


class ConvNorm(nn.Sequential):
    """A convolution with batch norm, and ReLU6 if it is `active`."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, *, active: bool = True) -> None:
        conv = _SameConv(inputs, outputs, kernel, stride, groups=groups, bias=False)
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu" if active else "linear")  # keeps the scale before anything is trained
        norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
        super().__init__(conv, norm, *([nn.ReLU6(inplace=True)] if active else []))

    def fold(self) -> None:
        """Fold the batch norm into the convolution: for prediction only."""
        conv, norm = self[0], self[1]
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        self[0], self[1] = fuse_conv_bn_eval(conv, norm), nn.Identity().eval()


class _SameConv(nn.Conv2d):
    """A convolution with an output for each input, or for each `stride` of them, padded as TensorFlow does."""

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        missing = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in given.shape[:1:-1]]
        if all(size % 2 == 0 for size in missing):
            padding = (missing[1] // 2, missing[0] // 2)
            return conv2d(given, self.weight, self.bias, stride, padding, 1, self.groups)
        sides = [side for size in missing for side in (size // 2, size - size // 2)]
        return conv2d(pad(given, sides), self.weight, self.bias, stride, 0, 1, self.groups)


class _Block(nn.Module):
    """An inverted residual block: expand, convolve each channel, project; beside it the input where the shapes are the same."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = inputs * expansion
        expand = [ConvNorm(inputs, width, 1)] if expansion > 1 else []
        self.layers = nn.Sequential(
            *expand, ConvNorm(width, width, kernel, stride, groups=width), ConvNorm(width, outputs, 1, active=False)
        )
        self.skips = stride == 1 and inputs == outputs

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        return given + self.layers(given) if self.skips else self.layers(given)
