"""The two networks in plain PyTorch, for float32 pictures [B, 4, 64, 64]."""

from torch import nn


def compact():
    """The default network of vecflap."""
    return nn.Sequential(
        *(nn.Conv2d(4, 32, 8, stride=8), nn.ReLU()),
        *(nn.Conv2d(32, 64, 4, stride=2), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(576, 256), nn.ReLU(), nn.Linear(256, 2)),
    )


def article():
    """That of the OneFlow article."""
    return nn.Sequential(
        *(nn.Conv2d(4, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(8192, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 2)),
    )


NETWORKS = {"compact": compact, "article": article}
