"""Make edgeup/data/roofline.json: the efficiencies that `edgeup estimate` counts with.

    python tools/calibrate_roofline.py [--dry-run] [--channel-block 32]

They are fitted to the GPU times of FastDepth's layers on a Jetson TX2 in
edgeup/data/tx2_layers.json, once on all four models, for use, and once for every split into models
to fit on and models to test on that keeps the near-twins nnconv5dw and nnconv5dw-skipadd together.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edgeup.export.roofline.fit import CHANNEL_BLOCK, Array, fit, rank_correlation, splits
from edgeup.export.roofline.measured import measured_gpu, measured_layers
from edgeup.export.roofline.speed import Efficiency, layer_time
from edgeup.files import write_all

GOAL = Path(__file__).parents[1] / "edgeup" / "data" / "roofline.json"
ABOUT = (
    "How much of its peaks a GPU reaches: a layer takes launch_us + macs / (peak * share) + bytes "
    "/ (bandwidth * memory). Fitted by tools/calibrate_roofline.py to the convolutions of "
    "tx2_layers.json: FP32, TVM's kernels, on a Jetson TX2. `splits` fit on some models and test "
    "on the others: `total` and `median` are estimated over measured time, `rank` is Spearman's "
    "correlation over a model's workloads. Dense and 1x1 convolutions share one figure, since one "
    "model alone has large dense ones. Not measured: other boards and precisions, transposed "
    "convolutions, matrix products, resizes, copies and pointwise layers (they have the dense "
    "share, or the memory share alone), TensorRT's kernels."
)


def rounded(value: Any) -> Any:
    """Four significant digits, all through a document."""
    if isinstance(value, dict):
        return {key: rounded(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(entry) for entry in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def over_all(efficiency: Efficiency) -> dict[str, float]:
    """The fit on all four models, and what MACs or bytes alone would tell, as a comparison."""
    models, gpu = measured_layers(), measured_gpu()
    layers = [layer for rows in models.values() for layer in rows]
    us = np.array([layer.us for layer in layers])
    times = [layer_time(layer.work, gpu, efficiency) for layer in layers]
    ratios = np.array([time.estimate_us for time in times]) / us
    return {
        "layer_rank": rank_correlation(ratios * us, us),
        "layer_rank_by_macs_alone": rank_correlation(np.array([x.work.macs for x in layers]), us),
        "layer_rank_by_bytes_alone": rank_correlation(np.array([x.work.moved for x in layers]), us),
        "total_rank": rank_correlation(*totals(efficiency)),
        "median_ratio": float(np.median(ratios)),
        "layers_within_25_percent": float(np.mean(np.abs(ratios - 1) <= 0.25)),
        "largest_factor": float(np.exp(np.abs(np.log(ratios)).max())),
    }


def totals(efficiency: Efficiency) -> tuple[Array, Array]:
    """Estimated and measured microseconds of each model; the twins have one estimate."""
    gpu, models = measured_gpu(), measured_layers().values()
    estimates = [
        sum(one.layers * layer_time(one.work, gpu, efficiency).estimate_us for one in rows)
        for rows in models
    ]
    return np.array(estimates), np.array([sum(x.us * x.layers for x in rows) for rows in models])


def show(split: dict[str, Any]) -> None:
    """One part of the table of splits."""
    figures = " ".join(f"{name} {value}" for name, value in split["efficiency"].items())
    print(f"fitted on {', '.join(split['fitted_on'])}: {figures}")
    for one in split["held_out"]:
        print(
            f"    {one['model']:36s} total {one['total']:.3f}  median {one['median']:.3f}  "
            f"rank {one['rank']:.3f}"
        )


def document(block: int = CHANNEL_BLOCK) -> dict[str, Any]:
    """What the file holds."""
    models, gpu = measured_layers(), measured_gpu()
    efficiency = fit([layer for rows in models.values() for layer in rows], gpu, block)
    made: dict[str, Any] = rounded(
        {
            "_about": ABOUT,
            "board": "tx2",
            "precision": "fp32",
            "efficiency": asdict(efficiency),
            "fit": over_all(efficiency),
            "splits": [
                {
                    "fitted_on": list(split.fitted_on),
                    "efficiency": asdict(split.efficiency),
                    "held_out": [asdict(one) for one in split.scores],
                }
                for split in splits(models, gpu, block)
            ],
        }
    )
    return made


def main() -> None:
    """Fit, print, and write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dry-run", action="store_true", help="print, and write nothing")
    parser.add_argument("--channel-block", type=int, default=CHANNEL_BLOCK, metavar="N")
    options = parser.parse_args()
    made = document(options.channel_block)
    for split in made["splits"]:
        show(split)
    print("all four:", json.dumps({**made["efficiency"], **made["fit"]}, indent=2))
    if not options.dry_run:
        write_all({GOAL: (json.dumps(made, indent=2) + "\n").encode()})


if __name__ == "__main__":
    main()
