"""Named preprocessing, and what a user chose of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from edgeup.errors import EdgeupError, unknown
from edgeup.preprocess import Preprocess

PRESETS: dict[str, Preprocess] = {
    # FastDepth's dataloaders/nyu.py, val_transform: Resize(250/480), CenterCrop(228, 304),
    # Resize(224, 224), all nearest by scipy.misc.imresize, then / 255; no mean, no std. On NYU's
    # 480x640 `cover` gives 250x333; the last resize changes the aspect, as it did in training.
    "fastdepth": Preprocess(
        1 / 255, cover=(250, 333), crop=(228, 304), interpolation="nearest", antialias=False
    ),
    "unit": Preprocess(1 / 255),
    "imagenet": Preprocess(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "raw": Preprocess(1.0),
    "minus-one-to-one": Preprocess(1 / 127.5, (1.0,)),
}

STORED = "stored"
"""The name of what the model's metadata says, where a preset's name may stand."""


@dataclass(frozen=True)
class PreprocessChoice:
    """What a user asked for: a preset, or what is stored, with some fields changed."""

    base: str | None
    changes: Mapping[str, Any]

    def resolve(self, stored: str | None) -> Preprocess:
        """The preprocessing that is meant.

        Args:
            stored: the model's metadata, as it stands there.

        Raises:
            EdgeupError: an unknown preset, no scale and no base, nothing stored, a bad value.
        """
        if self.base is None:
            if "scale" not in self.changes:
                raise EdgeupError(
                    "--preprocess needs a preset before the changes, or a scale: scale=1/255 for "
                    "values from 0 to 1, scale=1 for 0 to 255"
                )
            return Preprocess(**self.changes)
        if self.base == STORED:
            if stored is None:
                raise EdgeupError("--preprocess stored: nothing is stored in this model")
            base = Preprocess.from_json(stored)
        elif self.base in PRESETS:
            base = PRESETS[self.base]
        else:
            raise unknown("preset of --preprocess", self.base, [*PRESETS, STORED])
        return replace(base, **self.changes)
