"""Where the facts about a version were read.

Importers were read for the versions of `READ`; a version between two takes the older, and one
after the last takes what its operator table and change log add.
"""

from __future__ import annotations

from edgeup.export.passes.contract import Aim

Version = tuple[int, int]

READ: dict[Version, str] = {
    (8, 0): "8fea430",
    (8, 2): "85e79f6",
    (8, 4): "1da7332",
    (8, 5): "fd119fe",
    (8, 6): "6ba67d3",
    (9, 3): "1def182",
    (10, 0): "eb43908",
    (10, 1): "96e7811",
}
"""onnx-tensorrt's commits, by TensorRT version."""


def importer(aim: Aim) -> str:
    """The importer that was read for a version."""
    version = aim.tensorrt or max(READ)
    read = max((known for known in READ if known <= version), default=min(READ))
    return f"onnx-tensorrt {spelled(read)} ({READ[read]}), importer source"


def spelled(version: Version) -> str:
    """A version as it is written."""
    return ".".join(map(str, version))
