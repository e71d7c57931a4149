"""Why `--bisect` names no node though a comparison failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeup.errors import EdgeupError


class NotComparableError(EdgeupError):
    """The outputs of two models do not correspond: no run of theirs can be held side by side."""


def why_none(parity: Sequence[Mapping[str, Any]], reference: Path) -> str:
    """One line.

    Args:
        parity: a report's, of a comparison that failed.
        reference: the ONNX file.
    """
    from edgeup.export.load import load_model

    failed = [output["name"] for output in parity if not output["passed"]]
    if not failed:
        return "no output differs beyond its tolerance; another check failed"
    made = {v.name for node in load_model(reference).graph for v in node.outputs}
    held = [name for name in failed if name not in made]
    if held:
        return f"no node makes {', '.join(held)}, an input or a constant of the reference"
    judged = [o for o in parity if o["name"] in failed and o["tolerance"].get("statistic")]
    if judged:
        return (
            f"{judged[0]['name']} is judged by a statistic of its errors "
            f"({judged[0]['tolerance']['statistic']}), and no node's output is beyond the "
            f"tolerance taken for each element"
        )
    return (
        "run node by node, no output was beyond its tolerance on the first input that failed: the "
        "difference comes and goes"
    )
