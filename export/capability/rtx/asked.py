"""The answers of TensorRT for RTX that are kept, and how a fault cites them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from edgeup.export.capability.contract import Fault, Verdict

if TYPE_CHECKING:
    from edgeup.export.passes.contract import Aim


@cache
def asked() -> Mapping[str, Any]:
    """The table that ``tools/probe_rtx.py`` writes: its ``_about`` says what stands in it."""
    text = (files("edgeup") / "data" / "rtx_operators.json").read_text(encoding="utf-8")
    document: Mapping[str, Any] = json.loads(text)
    return document


def is_rtx(aim: Aim) -> bool:
    """Whether the target is TensorRT for RTX."""
    return aim.backend == "tensorrt-rtx"


def refused(reason: str, said: str, remedy: str = "") -> Fault:
    """A fault seen in a run; ``said`` is what NVIDIA's library answered."""
    return Fault(Verdict.REFUSED, reason, ran(said), remedy)


def ran(said: str) -> str:
    """The evidence of a run."""
    return f"run: TensorRT for RTX {asked()['version']}: {said}"
