"""``--fail-on`` of `edgeup build`: what the build that is asked for will find out."""

from __future__ import annotations

from collections.abc import Sequence

from edgeup.pipeline.build.wish import BuildWish
from edgeup.pipeline.gates import Condition, check_judgeable


def check_build_gates(conditions: Sequence[Condition], wish: BuildWish) -> None:
    """Refuse conditions that no build of this kind can judge.

    Where the layers cannot be read back for a reason that only the build shows, ``precision``
    fails instead of passing unseen.

    Raises:
        EdgeupError: a condition is about what will not be known.
    """
    why = {"latency": "edgeup profile measures it"}
    if wish.precision in (None, "fp32"):
        why["parity"] = "nothing is converted, and so nothing compared"
    if (reason := _unread(wish)) is not None:
        why["precision"] = reason
    known = [name for name in ("parity", "precision", "size") if name not in why]
    check_judgeable(conditions, known, "build", why)


def _unread(wish: BuildWish) -> str | None:
    """Why the layers of the engine will not tell their precision."""
    if wish.target.backend == "tensorrt-rtx":
        return "an engine of TensorRT for RTX chooses its kernels where it is loaded"
    if wish.options.profiling_verbosity != "detailed":
        return "the engine tells its layers with --profiling-verbosity detailed alone"
    return None
