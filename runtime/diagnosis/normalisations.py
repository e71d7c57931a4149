"""The normalisations that networks are trained with, and their inverses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeup.spec import Array


@dataclass(frozen=True)
class Normalisation:
    """``(x - mean) / std``, one number for all channels or one for each of three."""

    name: str
    mean: Sequence[float]
    std: Sequence[float]

    def fits(self, array: Array) -> bool:
        """Whether the array has the channels for it (n c h w)."""
        if array.dtype.kind != "f":
            return False
        return len(self.mean) == 1 or (array.ndim == 4 and array.shape[1] == len(self.mean))

    def apply(self, array: Array, inverse: bool) -> Array:
        """Normalised, or brought back."""
        shape = (1, -1, 1, 1) if len(self.mean) > 1 else ()
        mean, std = (np.reshape(np.array(v, array.dtype), shape) for v in (self.mean, self.std))
        out = array * std + mean if inverse else (array - mean) / std
        return out.astype(array.dtype, copy=False)


# ImageNet's: torchvision's documentation of its models. Caffe's means: the model zoo's VGG, as
# keras.applications.imagenet_utils holds them. CLIP's: clip/clip.py of openai/CLIP. MNIST's:
# mnist/main.py of pytorch/examples. Others are not known: none is fitted, since a fit would take
# dozens of runs of the candidate.
NORMALISATIONS = (
    Normalisation("ImageNet's mean and deviation", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    Normalisation("ImageNet's of 0 to 255", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    Normalisation("the map of 0..1 to -1..1", (0.5,), (0.5,)),
    Normalisation("the map of 0..255 to -1..1", (127.5,), (127.5,)),
    Normalisation("the division by 255", (0.0,), (255.0,)),
    Normalisation("Caffe's mean of BGR", (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
    Normalisation("Caffe's mean, as of RGB", (123.68, 116.779, 103.939), (1.0, 1.0, 1.0)),
    Normalisation(
        "CLIP's mean and deviation",
        (0.48145466, 0.4578275, 0.40821073),
        (0.26862954, 0.26130258, 0.27577711),
    ),
    Normalisation("MNIST's mean and deviation", (0.1307,), (0.3081,)),
)

MILDEST_FACTOR = 2.0
"""The least that one of them multiplies or divides by: 0.5 is the largest deviation below 1."""


def named_words(place: str, one: Normalisation, doubled: bool) -> str:
    """One line: the candidate lacks the normalisation, or applies one more."""
    if doubled:
        return f"{one.name} at the {place} is applied once too often by the candidate"
    return f"{one.name} at the {place} is missing in the candidate"
