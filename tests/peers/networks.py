"""The networks of models/*.h as PyTorch modules whose state-dict names are those of a checkpoint.

PyPI packages: torch. A module for check_checkpoint.py, which proves that these are the same
networks, and for bench/peers/pytorch_step.py, which times them.
"""

from collections import OrderedDict

from torch import nn

# Rows as in models/convnet.cpp and models/alexnet.cpp:
# (channels, kernel, stride, pad, pool, pool stride) and (features, dropout); pool 0 is none.
CONVNET = (
    [(32, 5, 2, 2, 0, 0), (64, 3, 1, 1, 2, 2), (128, 3, 1, 1, 2, 2)],
    [(256, 0.0)],
)
ALEXNET = (
    [
        (96, 11, 4, 2, 3, 2),
        (256, 5, 1, 2, 3, 2),
        (384, 3, 1, 1, 0, 0),
        (384, 3, 1, 1, 0, 0),
        (256, 3, 1, 1, 3, 2),
    ],
    [(4096, 0.5), (4096, 0.0)],
)


def convolutions(rows, channels):
    """Convolution without bias, batch norm, max-pool, ReLU for every row."""
    layers = OrderedDict()
    for number, (features, kernel, stride, pad, pool, pool_stride) in enumerate(rows, 1):
        layers[f"conv{number}"] = nn.Conv2d(channels, features, kernel, stride, pad, bias=False)
        layers[f"bn{number}"] = nn.BatchNorm2d(features)
        if pool:
            layers[f"pool{number}"] = nn.MaxPool2d(pool, pool_stride)
        layers[f"relu{number}"] = nn.ReLU(inplace=True)
        channels = features
    return nn.Sequential(layers)


def classifier(rows, first_number, inputs, dimension):
    """Linear without bias, batch norm, ReLU, dropout for every row; then a linear with bias."""
    layers = OrderedDict()
    for number, (features, dropout) in enumerate(rows, first_number):
        layers[f"fc{number}"] = nn.Linear(inputs, features, bias=False)
        layers[f"bn{number}"] = nn.BatchNorm1d(features)
        layers[f"relu{number}"] = nn.ReLU(inplace=True)
        if dropout:
            layers[f"drop{number}"] = nn.Dropout(dropout)
        inputs = features
    layers[f"fc{first_number + len(rows)}"] = nn.Linear(inputs, dimension)
    return nn.Sequential(layers)


def output_side(rows, side):
    """Side of the last convolution block's output for pictures of this side."""
    for _, kernel, stride, pad, pool, pool_stride in rows:
        side = (side + 2 * pad - kernel) // stride + 1
        if pool:
            side = (side - pool) // pool_stride + 1
    return side


class Network(nn.Module):
    """(n, channels, size, size) pictures to (n, dimension) features, not yet normalised."""

    def __init__(self, name, size, channels, dimension, width=1):
        super().__init__()
        convolution_rows, hidden_rows = {"convnet": CONVNET, "alexnet": ALEXNET}[name]
        if name == "convnet":
            convolution_rows = [(row[0] * width, *row[1:]) for row in convolution_rows]
            hidden_rows = [(features * width, dropout) for features, dropout in hidden_rows]
        side = output_side(convolution_rows, size)
        self.features = convolutions(convolution_rows, channels)
        self.classifier = classifier(
            hidden_rows, len(convolution_rows) + 1, convolution_rows[-1][0] * side**2, dimension
        )

    def forward(self, pictures):
        return self.classifier(self.features(pictures).flatten(1))

    def taps(self, pictures):
        """What "nat embed --layers conv,fc,embedding" writes, by name."""
        conv = self.features(pictures).flatten(1)
        fc = self.classifier[:-1](conv)
        embedding = nn.functional.normalize(self.classifier[-1](fc))
        return {"conv": conv, "fc": fc, "embedding": embedding}
