"""Layers whose time was measured on a Jetson TX2, as the FastDepth authors published them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

from edgeup.export.roofline.speed import Gpu
from edgeup.export.roofline.work import Work, conv_work

Workload: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], int]
"""Input ``n c h w``, weight ``out in/groups kh kw``, stride: what TVM tunes once."""


@dataclass(frozen=True)
class Measured:
    """One workload of a model: its time in microseconds, and how many layers have its shape."""

    workload: Workload
    work: Work
    us: float
    layers: int


@cache
def measured_layers() -> Mapping[str, tuple[Measured, ...]]:
    """The measured workloads by model, input to output; see ``data/tx2_layers.json``."""
    return {
        name: tuple(_measured(*row) for row in rows) for name, rows in _document()["models"].items()
    }


@cache
def measured_gpu() -> Gpu:
    """The TX2's peaks in FP32."""
    device = _document()["device"]
    gmacs = device["fp32_gmacs_per_s"]
    return Gpu(gmacs, gmacs, device["gbytes_per_s"])


def _measured(reads: list[int], weight: list[int], stride: int, ms: float, layers: int) -> Measured:
    height, width = (-(-extent // stride) for extent in reads[2:])  # padded by half the kernel
    work = conv_work(reads, weight, (reads[0], weight[0], height, width))
    return Measured((tuple(reads), tuple(weight), stride), work, ms * 1e3, layers)


@cache
def _document() -> Mapping[str, Any]:
    text = (files("edgeup") / "data" / "tx2_layers.json").read_text(encoding="utf-8")
    document: Mapping[str, Any] = json.loads(text)
    return document
