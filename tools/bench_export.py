"""Wall time and peak memory of `edgeup export`, beside the plain exporter on the same module.

    python tools/bench_export.py [--decoder nnconv5] [--rounds 5] [--json FILE]

Both run as whole processes, in turn (A B, B A, ...), so that a machine whose speed drifts slows
both. The plain one does what a user would write by hand: build the same network, then
``torch.onnx.export(dynamo=True)``, onnxsim, and save; no parity, no latency, no report.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PLAIN = """
import sys, torch, onnx, onnxsim
from edgeup.models.catalog import FastDepthConfig
from edgeup.models.fastdepth import build
module = build(FastDepthConfig(decoder=sys.argv[1])).eval()
program = torch.onnx.export(
    module, (torch.rand(1, 3, 224, 224),), dynamo=True, verbose=False,
    input_names=["image"], output_names=["depth"],
)
model, ok = onnxsim.simplify(program.model_proto)
assert ok
onnx.save(model, sys.argv[2] + "/model.onnx")
"""


def run_once(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak resident MiB of one process, children included."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        complaint = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    if process.returncode != 0:
        raise SystemExit(f"{command[:4]} failed:\n{complaint.decode()}")
    return wall, usage.ru_maxrss / 1024


def main() -> None:
    """Run the rounds and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--decoder", default="nnconv5")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        plain = [sys.executable, "-c", PLAIN, options.decoder, folder]
        ours = [
            *(sys.executable, "-m", "edgeup.cli.main", "export"),
            *("--decoder", options.decoder, "-o", folder),
        ]
        commands = {"plain": plain, "edgeup": ours}
        for command in commands.values():
            run_once(command)  # fills the file caches and compiles byte code
        samples: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        stages: list[dict[str, float]] = []
        for index in range(options.rounds):
            for name in list(commands)[:: 1 if index % 2 == 0 else -1]:
                samples[name].append(run_once(commands[name]))
                if name == "edgeup":
                    report = json.loads((Path(folder) / "report.json").read_text())
                    stages.append(report["stages_s"])

    ratios = [a[0] / b[0] for a, b in zip(samples["edgeup"], samples["plain"], strict=True)]
    result = {
        "decoder": options.decoder,
        "rounds": options.rounds,
        "wall_s": {name: statistics.median(s[0] for s in rows) for name, rows in samples.items()},
        "peak_mib": {name: statistics.median(s[1] for s in rows) for name, rows in samples.items()},
        "wall_ratio": statistics.median(ratios),
        "wall_ratio_range": [min(ratios), max(ratios)],
        "stages_s": {key: statistics.median(s[key] for s in stages) for key in stages[0]},
    }
    for name in commands:
        print(
            f"{name:8} {result['wall_s'][name]:7.2f} s wall   "
            f"{result['peak_mib'][name]:7.0f} MiB peak"
        )
    low, high = result["wall_ratio_range"]
    print(f"edgeup / plain: {result['wall_ratio']:.2f} (rounds {low:.2f} to {high:.2f})")
    print("stages of edgeup: " + ", ".join(f"{k} {v:.2f} s" for k, v in result["stages_s"].items()))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
