"""How well the static rules of `edgeup check --target rtx` foretell NVIDIA's parser and builder.

    python tools/score_check.py [--half a|b] [--mistakes]

Ground truth: ONNX's own operator tests, every input after the first frozen to its test value, an
optimization profile from the test's input where a dimension is still open, parsed and built by
TensorRT for RTX on this CPU (about 80 s). A test is positive where NVIDIA refuses it. The halves
are by a hash of the test's name, so that rules can be written looking at one of them alone.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from edgeup.errors import EdgeupError
from edgeup.export.capability.check import check_model, is_refused
from edgeup.export.passes.contract import Aim
from edgeup.runtime.nvidia_parser import NvidiaParser, NvidiaVerdict, Profile

UPSAMPLING = (
    *("resize", "upsample", "convtranspose", "unpool", "depthtospace", "spacetodepth"),
    *("maxpool", "gridsample"),
)


@dataclass(frozen=True)
class Frozen:
    """A test's model with one input at most, and that input's value."""

    name: str
    model: onnx.ModelProto
    profile: Profile


@dataclass(frozen=True)
class Judged:
    """Both verdicts on a test."""

    name: str
    operators: str
    foretold: bool
    rules: tuple[str, ...]
    nvidia: NvidiaVerdict


def frozen_tests() -> Iterator[Frozen]:
    """ONNX's operator tests."""
    from onnx.backend.test.case.node import collect_testcases

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for case in sorted(collect_testcases(None), key=lambda case: case.name):
            if case.model is not None and case.data_sets:
                yield freeze(case.name.removeprefix("test_"), case.model, case.data_sets[0][0])


def freeze(name: str, model: onnx.ModelProto, values: Sequence[Any]) -> Frozen:
    """Freeze every input after the first that is a tensor; a sequence or None stays an input."""
    frozen = onnx.ModelProto()
    frozen.CopyFrom(model)
    inputs = list(frozen.graph.input)
    del frozen.graph.input[1:]
    for given, value in zip(inputs[1:], values[1:], strict=False):
        tensor = _tensor(given, value)
        if tensor is None:
            frozen.graph.input.append(given)
        else:
            frozen.graph.initializer.append(tensor)
    if not inputs:
        return Frozen(name, frozen, Profile())
    first = np.asarray(values[0]) if isinstance(values[0], (np.ndarray, np.generic)) else None
    if first is None:
        return Frozen(name, frozen, Profile())
    numbers = first.reshape(-1).tolist() if first.dtype.kind in "iu" else []
    profile = Profile.fixed({inputs[0].name: first.shape}, {inputs[0].name: numbers})
    return Frozen(name, frozen, profile)


def _tensor(given: onnx.ValueInfoProto, value: Any) -> onnx.TensorProto | None:
    if not given.type.HasField("tensor_type") or value is None:
        return None
    if not isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.from_array(np.asarray(value), given.name)
    tensor = onnx.TensorProto()
    tensor.CopyFrom(value)
    tensor.name = given.name
    return tensor


def foretell(model: onnx.ModelProto) -> tuple[bool, tuple[str, ...]]:
    """Whether the static rules accept it, and those that spoke."""
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    findings = check_model(ir.from_proto(model), Aim("rtx", "tensorrt-rtx", None, opset))
    return not is_refused(findings), tuple(f"{f.op}: {f.rule}: {f.reason}" for f in findings)


def ask(parser: NvidiaParser, test: Frozen) -> NvidiaVerdict:
    """NVIDIA's parser and builder; what cannot be asked counts as refused."""
    try:
        return parser.ask(test.model.SerializeToString(), build=True, profile=test.profile)
    except EdgeupError as error:
        raise EdgeupError(f"{test.name}: {error}") from error


def is_upsampling(name: str) -> bool:
    """Whether a test is one of those that upsample, pool or unpool."""
    return any(part in name for part in UPSAMPLING)


def half_of(name: str) -> str:
    """Which half a test belongs to."""
    return "ab"[hashlib.sha256(f"test_{name}".encode()).digest()[0] % 2]


def judge(tests: Sequence[Frozen]) -> list[Judged]:
    """Both verdicts on each test."""
    judged = []
    with NvidiaParser("tensorrt_rtx") as parser:
        for test in tests:
            accepted, rules = foretell(test.model)
            operators = ", ".join(sorted({node.op_type for node in test.model.graph.node}))
            judged.append(Judged(test.name, operators, accepted, rules, ask(parser, test)))
    return judged


def print_matrix(title: str, judged: Sequence[Judged]) -> None:
    """The confusion matrix, recall and precision of what is refused."""
    counts = Counter((test.nvidia.accepted, test.foretold) for test in judged)
    hit, missed = counts[False, False], counts[False, True]
    alarm, passed = counts[True, False], counts[True, True]
    print(f"\n{title}: {len(judged)} models")
    print(f"{'':24}{'rules refuse':>14}{'rules accept':>14}")
    print(f"{'NVIDIA refuses':24}{hit:14}{missed:14}")
    print(f"{'NVIDIA accepts':24}{alarm:14}{passed:14}")
    recall, precision = hit / max(hit + missed, 1), hit / max(hit + alarm, 1)
    print(f"recall of refused {recall:.4f}, precision {precision:.4f}")


def print_mistakes(judged: Sequence[Judged], in_full: bool) -> None:
    """By operator, or one by one."""
    wrong = [test for test in judged if test.nvidia.accepted != test.foretold]
    kinds = Counter((test.operators[:60], test.foretold) for test in wrong)
    for (operators, missed), count in kinds.most_common():
        print(f"  {'missed' if missed else 'false alarm'} {count:3}  {operators}")
    for test in wrong if in_full else ():
        said = "; ".join(error.text for error in test.nvidia.errors) or "accepts"
        print(f"\n{test.name}\n  NVIDIA: {said[:300]}\n  rules: {'; '.join(test.rules)[:300]}")


def main() -> None:
    """Judge all tests of the halves that are asked for."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--half", choices=("a", "b"), help="one half alone")
    options.add_argument("--mistakes", action="store_true", help="print each mistake")
    chosen = options.parse_args()
    logging.getLogger("onnx_ir").setLevel(logging.ERROR)
    tests = [test for test in frozen_tests() if chosen.half in (None, half_of(test.name))]
    judged = judge(tests)
    where = f"half {chosen.half}" if chosen.half else "all"
    print_matrix(f"all operators, {where}", judged)
    upsampling = [test for test in judged if is_upsampling(test.name)]
    print_matrix(f"upsampling and pooling, {where}", upsampling)
    print()
    print_mistakes(judged, chosen.mistakes)


if __name__ == "__main__":
    main()
