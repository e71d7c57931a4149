"""The process in which `nvidia_parser` runs NVIDIA's libraries.

It reads, on its standard input, a line of JSON and a model, and writes a line of JSON, until the
input ends. What the libraries print goes nowhere; their logger's messages are kept.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Mapping
from typing import Any


def serve(package: str) -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        trt = importlib.import_module(package)
    except (ImportError, OSError) as error:
        refusal = {"refusal": f"{package} cannot be imported here: {error}"}
        answers.write(json.dumps(refusal).encode() + b"\n")
        return
    questions = sys.stdin.buffer
    for line in iter(questions.readline, b""):
        question = json.loads(line)
        answer = _answer(trt, questions.read(question["size"]), question)
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.flush()


def _answer(trt: Any, content: bytes, question: Mapping[str, Any]) -> dict[str, Any]:
    logger = _listener(trt)
    try:
        builder = trt.Builder(logger)
    except (TypeError, RuntimeError):  # pybind11 has no object to return
        builder = None
    if not builder:
        said = "; ".join(logger.errors) or "no reason given"
        return {"refusal": f"{trt.__name__} does not start on this machine: {said}"}
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, logger)
    stage, errors = "parse", []
    if not parser.parse(content):
        errors = [_error(parser.get_error(i)) for i in range(parser.num_errors)]
        errors = errors or [_unnamed("PARSE", logger.errors)]
    elif question["build"]:
        stage = "build"
        config = builder.create_builder_config()
        if hasattr(config, "set_compute_capability"):  # TensorRT for RTX, on a CPU
            config.num_compute_capabilities = 1
            config.set_compute_capability(trt.ComputeCapability.SM86, 0)
        refusal = _add_profile(builder, config, network, question)
        if refusal:
            return {"refusal": refusal}
        if builder.build_serialized_network(network, config) is None:
            errors = [_unnamed("BUILD", logger.errors)]
    return {"stage": stage, "errors": errors, "version": trt.__version__}


def _listener(trt: Any) -> Any:
    class Listener(trt.ILogger):  # type: ignore[misc] # NVIDIA publishes no types
        """Keeps what the libraries call errors."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

    return Listener()


def _network_flags(trt: Any) -> int:
    """Before TensorRT 10 the parser wants explicit batches; TensorRT for RTX has no such word."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    old = int(trt.__version__.split(".")[0]) < 10 and not trt.__name__.endswith("rtx")
    return 1 << int(flag) if old and flag is not None else 0


def _error(error: Any) -> dict[str, str]:
    told = {name: getattr(error, name, str)() for name in ("node_name", "node_operator")}
    code = str(error.code()).rpartition(".")[2]
    text = " ".join(error.desc().split())
    return {"node": told["node_name"], "op": told["node_operator"], "code": code, "text": text}


def _unnamed(code: str, said: list[str]) -> dict[str, str]:
    text = " ".join("; ".join(said).split()) or "no reason given"
    return {"node": "", "op": "", "code": code, "text": text}


def _add_profile(
    builder: Any, config: Any, network: Any, question: Mapping[str, Any]
) -> str | None:
    profile, used = builder.create_optimization_profile(), []
    for given in (network.get_input(i) for i in range(network.num_inputs)):
        kind = "values" if given.is_shape_tensor else "shapes"
        if kind == "shapes" and -1 not in given.shape:
            continue
        bounds = question[kind].get(given.name)
        if bounds is None:
            shape = "x".join("?" if size < 0 else str(size) for size in given.shape)
            what = "its numbers are a shape" if kind == "values" else f"it is {shape}"
            return (
                f"NVIDIA's builder needs sizes for input {given.name}, since {what}; give them "
                f"with --shape"
            )
        if kind == "shapes" and {len(one) for one in bounds} != {len(given.shape)}:
            return (
                f"input {given.name} does not take the sizes {bounds[0]}: wanted {len(given.shape)}"
            )
        setter = profile.set_shape_input if kind == "values" else profile.set_shape
        try:
            setter(given.name, *bounds)
        except (RuntimeError, TypeError, ValueError):
            return f"input {given.name} does not take the sizes {bounds[0]} to {bounds[2]}"
        used.append(given.name)
    if used and config.add_optimization_profile(profile) < 0:
        return f"input {', '.join(used)} does not take the sizes that were given"
    return None
