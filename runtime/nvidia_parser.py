"""NVIDIA's own parser and builder, asked whether they take a model.

They are native code that prints where it likes and may end the process on an odd file, so they
run in a process of their own (`nvidia_worker`); what comes back is an answer in any case.
"""

from __future__ import annotations

import json
import re
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from types import TracebackType
from typing import Any, TypeAlias

from edgeup.errors import EdgeupError, MissingPackageError

PACKAGES = ("tensorrt", "tensorrt_rtx")
"""TensorRT itself comes with JetPack; TensorRT for RTX parses and builds on any x86-64 CPU."""

PATIENCE_S = 600.0
"""A build that takes longer is given up; those of ONNX's operator tests take 40 ms each."""

Bounds: TypeAlias = tuple[Sequence[int], Sequence[int], Sequence[int]]
"""The least, the usual and the largest."""


@dataclass(frozen=True)
class NvidiaError:
    """One of its errors: the node's name and operator ("" where it tells none), code and text."""

    node: str
    op: str
    code: str
    text: str


@dataclass(frozen=True)
class NvidiaVerdict:
    """``stage``: where it stopped, "parse" or "build"; how far it was asked if it did not."""

    accepted: bool
    stage: str
    errors: tuple[NvidiaError, ...]
    package: str
    version: str

    def to_json(self) -> dict[str, Any]:
        """The section of a report."""
        return {**asdict(self), "errors": [asdict(error) for error in self.errors]}


@dataclass(frozen=True)
class Profile:
    """What the builder must know of a model's inputs, by name.

    ``shapes``: of inputs with open dimensions. ``values``: the numbers of inputs that are
    shapes themselves, such as a Reshape's second one.
    """

    shapes: Mapping[str, Bounds] = field(default_factory=dict)
    values: Mapping[str, Bounds] = field(default_factory=dict)

    @classmethod
    def fixed(
        cls,
        shapes: Mapping[str, Sequence[int]],
        values: Mapping[str, Sequence[int]] | None = None,
    ) -> Profile:
        """One size each."""
        return cls(
            {name: (one, one, one) for name, one in shapes.items()},
            {name: (one, one, one) for name, one in (values or {}).items()},
        )


def nvidia_packages() -> tuple[str, ...]:
    """Those of `PACKAGES` that are installed."""
    return tuple(name for name in PACKAGES if find_spec(name) is not None)


def ask_nvidia(
    content: bytes,
    *,
    build: bool,
    profile: Profile | None = None,
    package: str | None = None,
) -> NvidiaVerdict:
    """Whether NVIDIA's parser, and its builder if ``build``, takes a model.

    Args:
        content: the model as a file holds it, weights included.
        build: build an engine too, with TensorRT for RTX one for compute capability 8.6 (it has
            none for a Jetson's 8.7).
        profile: sizes of what is open.
        package: "tensorrt" or "tensorrt_rtx"; without it the first that is installed.

    Raises:
        EdgeupError: no such package, weights in other files, an open dimension without a size,
            or TensorRT does not start on this machine.
    """
    with NvidiaParser(package) as parser:
        return parser.ask(content, build=build, profile=profile)


class NvidiaParser:
    """Keeps the process for several questions; each has 0.5 s less to wait than alone."""

    def __init__(self, package: str | None = None) -> None:
        found = nvidia_packages()
        if not found or (package is not None and package not in found):
            wanted = package or "tensorrt_rtx"
            extra = {"tensorrt": "tensorrt", "tensorrt_rtx": "rtx"}.get(wanted, "rtx")
            raise MissingPackageError(wanted, extra, "asking NVIDIA's parser")
        self.package = package or found[0]
        self.version = _version_of(self.package)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> NvidiaParser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def ask(self, content: bytes, *, build: bool, profile: Profile | None = None) -> NvidiaVerdict:
        """As `ask_nvidia`."""
        model = _model_of(content)
        given = profile or Profile()
        request = {"size": len(content), "build": build, **asdict(given)}
        answer = self._exchange(json.dumps(request, default=int).encode() + b"\n" + content)
        if "refusal" in answer:
            raise EdgeupError(answer["refusal"])
        errors = tuple(_placed(NvidiaError(**error), model) for error in answer["errors"])
        return NvidiaVerdict(
            not errors, answer["stage"], errors, self.package, answer.get("version", self.version)
        )

    def _exchange(self, request: bytes) -> dict[str, Any]:
        process = self._process or _start(self.package)
        self._process = process
        if process.stdin is None or process.stdout is None:
            raise AssertionError("both are pipes")
        with suppress(BrokenPipeError):
            process.stdin.write(request)
            process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], PATIENCE_S)
        line = process.stdout.readline() if ready else b""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        status = process.poll() if not ready else process.wait()
        self._stop()
        text = (
            f"{self.package} ended its process with status {status} on this model"
            if ready
            else f"{self.package} gave no answer within {PATIENCE_S:g} s"
        )
        error = {"node": "", "op": "", "code": "CRASH" if ready else "TIMEOUT", "text": text}
        return {"stage": "parse", "errors": [error]}

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.communicate()


def _start(package: str) -> subprocess.Popen[bytes]:
    # The parent's search path, so that a file in the working folder cannot pose as a package.
    code = (
        f"import sys; sys.path[:] = {sys.path!r}; "
        f"from edgeup.runtime.nvidia_worker import serve; serve({package!r})"
    )
    return subprocess.Popen(  # noqa: S603 - this interpreter, with code from here
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _version_of(package: str) -> str:
    name = package.replace("_", "-")
    for distribution in (f"{name}-cu12", f"{name}-cu13", name):
        with suppress(PackageNotFoundError):
            return version(distribution)
    return "unknown"


def _model_of(content: bytes) -> Any:
    """The model, None where it is none: the parser's own line says it.

    Weights in other files are refused, since the parser would open whatever path it reads.
    """
    import onnx

    try:
        model = onnx.ModelProto.FromString(content)
    except Exception:  # protobuf's errors share no base class
        return None
    graphs = [model.graph, *model.functions]
    for tensor in (tensor for graph in graphs for tensor in _tensors(graph)):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise EdgeupError(
                f"the weights of {tensor.name!r} lie in another file; NVIDIA's parser is asked "
                f"about models that hold their weights: load them into the model first"
            )
    return model


def _placed(error: NvidiaError, model: Any) -> NvidiaError:
    """The builder's text holds the layer's name: the node's, or one made from its output."""
    if error.code != "BUILD" or model is None:
        return error
    words = set(re.split(r"[^\w./:-]+", error.text.replace(":", " ")))
    for node in model.graph.node:
        if words & {node.name, *(f"node_of_{output}" for output in node.output)} - {""}:
            return replace(error, node=node.name, op=node.op_type)
    return error


def _tensors(graph: Any) -> Iterator[Any]:
    yield from getattr(graph, "initializer", ())
    for sparse in getattr(graph, "sparse_initializer", ()):
        yield from (sparse.values, sparse.indices)
    for attribute in (attribute for node in graph.node for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        yield from (attribute.sparse_tensor.values, attribute.sparse_tensor.indices)
        for inner in (attribute.g, *attribute.graphs):
            yield from _tensors(inner)
