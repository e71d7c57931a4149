"""What a reader of an estimate has to know of it."""

from __future__ import annotations

from collections.abc import Iterator, Set

from edgeup.export.roofline.speed import calibration
from edgeup.export.roofline.work import MEASURED_KINDS
from edgeup.pipeline.estimate.place import Place

_FIGURES = ("gpu_max_mhz", "bandwidth_gbs", "bus_bits", "peak", "sms", "power_modes")
"""The fields of a board that an estimate counts with."""


def estimate_notices(place: Place, kinds: Set[str]) -> Iterator[str]:
    """What was not measured, and which figures are uncertain.

    Args:
        place: what the estimate is for.
        kinds: of the layers.
    """
    document = calibration()
    totals = [one["total"] for split in document["splits"] for one in split["held_out"]]
    yield (
        "this is an estimate: nothing was run. Its efficiencies were fitted to FastDepth's "
        "convolutions on a Jetson TX2 (TVM's kernels, fp32), where totals of models not fitted "
        f"came out at {min(totals):.2f} to {max(totals):.2f} of the measured"
    )
    if (place.board.name, place.precision) != (document["board"], document["precision"]):
        yield (
            f"unmeasured on {place.board.title} in {place.precision}: the shares of the peaks and "
            f"the launch time ({document['efficiency']['launch_us']:.0f} us at the highest "
            f"standard clock) are carried over from the TX2"
        )
    others = sorted(kinds - set(MEASURED_KINDS))
    if others:
        yield (
            f"kinds of layers that were not measured on any board: {', '.join(others)}; they are "
            f"given the share of dense convolutions, or of memory"
        )
    if place.precision == "fp32" and "tf32" in place.board.precisions:
        yield "fp32 is counted on CUDA cores; TensorRT may use TF32 there and be faster"
    if "fp32" not in place.mode.peak:
        yield "depthwise convolutions are counted at the tensor cores' peak, which is too fast"
    uncertain = [text for text in place.board.unverified if text.startswith(_FIGURES)]
    if uncertain:
        yield f"unverified figures of {place.board.title}: {'; '.join(uncertain)}"
