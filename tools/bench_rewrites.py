"""Latency of rewritten graphs, beside the plain exporter's and onnxslim's, on the same weights.

    python tools/bench_rewrites.py [--networks NAME ...] [--seconds 20] [--json FILE]

ONNX Runtime on the CPU, one thread. Per network, in a process of its own: "plain" is torch.onnx
and onnxsim (for a file: onnxsim), "slim" is onnxslim on the plain exporter's output, "static" and
"tuned" are edgeup. All are timed interleaved in one process; a ratio is plain's time in units of
the other's, the median over rounds with a 95 % interval. Outputs are compared before.

Needs torch; onnxslim (pip install onnxslim) for its column; and for the text detector
    pip download --no-deps rapidocr-onnxruntime, unzip, --detector .../ch_PP-OCRv4_det_infer.onnx
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeup.cli.named import NamedModel, named_subject
from edgeup.errors import EdgeupError
from edgeup.spec import Feeds, TensorSpec
from edgeup.targets import find_target

if TYPE_CHECKING:
    import onnx
    import onnx_ir as ir

    from edgeup.pipeline.subject import Subject
    from edgeup.runtime.timer import Budget, Times


@dataclass(frozen=True)
class Case:
    """A network, and the ratio of plain to tuned that is wanted of it at least."""

    model: NamedModel | None
    options: tuple[str, ...] = ()
    shape: str | None = None
    aim: float = 1.0


DETECTOR = TensorSpec("x", (1, 3, 640, 640))

CASES = {
    "nnconv5": Case(NamedModel("fastdepth", decoder="nnconv5")),
    "nnconv5dw-skipadd": Case(NamedModel("fastdepth", decoder="nnconv5dw", skip="add"), aim=1.02),
    "upconv": Case(NamedModel("fastdepth", decoder="upconv"), aim=2.5),
    "upproj": Case(NamedModel("fastdepth", decoder="upproj"), aim=2.3),
    "deconv5": Case(NamedModel("fastdepth", decoder="deconv5")),
    "blconv5": Case(NamedModel("fastdepth", decoder="blconv5")),
    "fcrn-upproj": Case(NamedModel("fcrn", decoder="upproj"), shape="1x3x228x304", aim=2.2),
    "unet-nearest": Case(
        NamedModel("unet", decoder="nearest"), ("padding=same",), "1x1x256x256", aim=1.10
    ),
    "segnet": Case(NamedModel("segnet")),
    "dcgan": Case(NamedModel("dcgan")),
    "text-detector": Case(None),
}


def plain_export(subject: Subject) -> onnx.ModelProto | None:
    """What a user would write by hand; None where torch.onnx cannot export the network."""
    import torch

    from edgeup.pipeline.subject import example_arrays

    example = tuple(torch.from_numpy(a) for a in example_arrays(subject.inputs, 0))
    names = [spec.name for spec in subject.inputs]
    try:
        program = torch.onnx.export(
            subject.module, example, dynamo=True, verbose=False, input_names=names
        )
    except Exception as error:  # torch.onnx's errors have no base class of their own
        print(f"  torch.onnx cannot export it: {str(error).splitlines()[0][:100]}")
        return None
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    return proto


def simplified(proto: onnx.ModelProto) -> bytes:
    """Through onnxsim."""
    import onnxsim

    model, _ = onnxsim.simplify(proto)
    content: bytes = model.SerializeToString()
    return content


def slimmed(proto: onnx.ModelProto) -> bytes | None:
    """Through onnxslim, where it is installed and takes the model."""
    try:
        onnxslim = importlib.import_module("onnxslim")  # no dependency: see above
    except ImportError:
        print("  no column slim: pip install onnxslim")
        return None
    content: bytes = onnxslim.slim(proto).SerializeToString()
    return content


def sources(case: Case, detector: Path | None) -> tuple[onnx.ModelProto, ir.Model]:
    """The model as the plain exporter writes it, and as edgeup reads or exports it."""
    import onnx
    import onnx_ir as ir

    from edgeup.export.load import freeze_shapes, load_model
    from edgeup.export.to_onnx import to_onnx
    from edgeup.pipeline.optimize import to_opset_of

    target = find_target("cpu")
    if case.model is None:
        if detector is None:
            raise EdgeupError("skipped: name the text detector's file with --detector")
        model = load_model(detector)
        freeze_shapes(model, [DETECTOR])
        return ir.to_proto(model), to_opset_of(target, model, print)[0]
    subject = named_subject(case.model, case.options, [case.shape] if case.shape else ())
    plain = plain_export(subject)
    exported = to_onnx(
        subject.module, subject.inputs, opset=target.opset, ir_version=target.ir_version
    )
    if plain is None:
        print("  plain is edgeup's export without passes")
        plain = onnx.load_model_from_string(exported.content)
    return plain, exported.model


def variants(
    plain: onnx.ModelProto, ours: ir.Model, cache: Path | None
) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Each column's model, and what the tuner did."""
    from edgeup.export.passes.choose import static_choice
    from edgeup.export.passes.estimate import efficiency_for
    from edgeup.export.to_onnx import finish
    from edgeup.pipeline.tuning.model import tune_and_optimize
    from edgeup.pipeline.verified import aim_at, optimize_verified

    aim = aim_at(find_target("cpu"), ours.opset_imports[""])
    static = optimize_verified(ours, aim, static_choice(efficiency_for(aim)), verify=False)
    tuned = tune_and_optimize(ours, aim, threads=1, cache_folder=cache, verify=False)
    for notice in tuned.notices:
        print(f"  {notice}")
    models = {"plain": simplified(plain), "slim": slimmed(plain)}
    models["static"], _ = finish(static.optimized.model)
    models["tuned"], _ = finish(tuned.verified.optimized.model)
    sites = [site.to_json() for site in tuned.verified.optimized.sites]
    facts = {**tuned.facts, "sites": sites}
    return {name: model for name, model in models.items() if model is not None}, facts


def costs(content: bytes) -> dict[str, Any]:
    """MACs of one run, and bytes that the nodes read and write."""
    import onnx
    import onnx_ir as ir
    from onnx_ir.passes.common import ShapeInferencePass

    from edgeup.export.passes.site_cost import bytes_of, macs_of

    model = ShapeInferencePass()(ir.from_proto(onnx.load_model_from_string(content))).model
    return {"macs": macs_of(model), "bytes": bytes_of(model), "nodes": len(list(model.graph))}


def bench(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """One network's row."""
    from edgeup.runtime.inputs import test_inputs
    from edgeup.runtime.latency import ratio
    from edgeup.runtime.ort_session import OnnxRuntimeSession
    from edgeup.runtime.timer import Budget

    plain, ours = sources(case, options.detector)
    models, tuning = variants(plain, ours, options.cache)
    with OnnxRuntimeSession(models["plain"], threads=1) as session:
        case_of = next(test_inputs(session.inputs, 0, kinds=("natural",)))
    models = without_wrong(models, case_of.feeds)
    budget = Budget(duration_s=options.seconds, min_rounds=options.rounds)
    times = timed(models, case_of.feeds, budget, options.clock)
    row: dict[str, Any] = {"aim": case.aim, "tuning": tuning, "variants": {}}
    for name, content in models.items():
        row["variants"][name] = {
            "median_ms": float(np.median(times[name])),
            "versus_plain": asdict(ratio(times["plain"], times[name])),
            "file_bytes": len(content),
            **costs(content),
        }
    return row


CLOCKS = {"wall": time.perf_counter_ns, "cpu": time.thread_time_ns}
"""One thread computes, the caller's; its CPU time leaves out waiting for a core."""


def timed(
    models: Mapping[str, bytes], feeds: Feeds, budget: Budget, clock: str
) -> dict[str, Times]:
    """Milliseconds per run, interleaved; as `measure_onnx`, on any clock."""
    from edgeup.runtime.ort_session import OnnxRuntimeSession
    from edgeup.runtime.timer import measure

    with ExitStack() as stack:
        works = {
            name: stack.enter_context(OnnxRuntimeSession(model, threads=1)).bind(feeds)
            for name, model in models.items()
        }
        return measure(works, budget, clock=CLOCKS[clock])


def without_wrong(models: Mapping[str, bytes], feeds: Feeds) -> dict[str, bytes]:
    """Only what gives the same numbers as plain is timed."""
    from edgeup.runtime.ort_session import run_once

    wanted = next(iter(run_once(models["plain"], feeds).values()))
    right = {}
    for name, content in models.items():
        got = next(iter(run_once(content, feeds).values()))
        error, peak = float(np.abs(got - wanted).max()), float(np.abs(wanted).max())
        # Next to 0 a float32 sigmoid of ONNX Runtime moves in steps of 6e-8, whatever its peak.
        if error <= 1e-3 * peak + 1e-6:
            right[name] = content
        else:
            print(f"  {name} is WRONG, and not timed: off by {error:.1e}, plain's peak is {peak}")
    return right


def show(name: str, row: Mapping[str, Any]) -> None:
    """One network's lines of the table."""
    for variant, found in row["variants"].items():
        gain = found["versus_plain"]
        macs = "?" if found["macs"] is None else f"{found['macs'] / 1e6:,.0f}"
        size = "?" if found["bytes"] is None else f"{found['bytes'] / 2**20:,.0f}"
        note = ""
        if variant == "tuned":
            reached = gain["median"] >= row["aim"] if row["aim"] > 1 else gain["high"] >= 1.0
            note = f"  aim {row['aim']:.2f} {'reached' if reached else 'MISSED'}"
        print(
            f"{name:18} {variant:7} {found['median_ms']:9.2f} ms   {gain['median']:5.3f} "
            f"({gain['low']:5.3f} to {gain['high']:5.3f})  {macs:>7} MMAC {size:>6} MiB moved "
            f"{found['nodes']:4} nodes{note}"
        )
        name = ""


def main() -> None:
    """Run each network in a process of its own, and print one table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=25, help="at least")
    parser.add_argument("--seconds", type=float, default=20.0, help="of measuring, per network")
    parser.add_argument(
        "--clock", choices=CLOCKS, default="wall", help="cpu: where others use the machine too"
    )
    parser.add_argument("--detector", type=Path, help="file of the text detector")
    parser.add_argument("--cache", type=Path, help="folder of the tuning cache")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()

    if options.child:
        try:
            row = bench(CASES[options.networks[0]], options)
        except EdgeupError as error:
            raise SystemExit(f"  {error}") from error
        options.child.write_text(json.dumps(row))
        return
    table = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in options.networks:
            result = Path(folder) / f"{name}.json"
            same = ["--rounds", options.rounds, "--seconds", options.seconds]
            for option in ("clock", "detector", "cache"):
                if getattr(options, option):
                    same += [f"--{option}", getattr(options, option)]
            command = [sys.executable, __file__, "--networks", name, "--child", result, *same]
            subprocess.run([str(word) for word in command], check=False)
            if result.exists():
                table[name] = json.loads(result.read_text())
                show(name, table[name])
            else:
                print(f"{name}: no row, see above")
            sys.stdout.flush()
    if options.json:
        options.json.write_text(json.dumps(table, indent=2) + "\n")


if __name__ == "__main__":
    main()
