"""The two sides of a comparison: whatever gives outputs for inputs, or gave them once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.files import sha256_of
from edgeup.pipeline.verify.fp64 import check_small
from edgeup.runtime.inputs import Case
from edgeup.runtime.saved_outputs import SavedOutputs, feeds_sha256
from edgeup.runtime.sessions import ENGINE_SUFFIXES
from edgeup.spec import Array, Feeds, Outputs, TensorSpec

if TYPE_CHECKING:
    import onnx_ir as ir

    from edgeup.pipeline.subject import Subject

ReferencePrecision = Literal["fp32", "fp64"]

SUFFIXES = (".onnx", *ENGINE_SUFFIXES, ".npz")


@dataclass(frozen=True)
class FileSide:
    """An ONNX file, an engine or saved outputs; which, its suffix says."""

    path: Path


@dataclass(frozen=True)
class ModuleSide:
    """A PyTorch model; ``build`` takes the input shapes, none where the model may choose."""

    name: str
    build: Callable[[Sequence[TensorSpec]], Subject]


SideRequest = FileSide | ModuleSide


@dataclass(frozen=True)
class Side:
    """An opened side.

    Attributes:
        facts: of the report: kind, name, precision, what identifies it.
        precision: of its numbers ("fp32"); it decides the tolerance.
        inputs: what it takes; None of outputs that do not say what they were made from.
        run: feeds to outputs; saved outputs cannot.
        saved: outputs of an earlier run.
        preprocess: JSON of how pictures become its input; None where it does not say.
        notices: what a user should know of it.
    """

    facts: dict[str, Any]
    precision: str
    inputs: tuple[TensorSpec, ...] | None = None
    run: Callable[[Feeds], Outputs] | None = None
    saved: SavedOutputs | None = None
    preprocess: str | None = None
    notices: tuple[str, ...] = ()

    def outputs(self, case: Case) -> Outputs:
        """What it gives, or gave, for a case.

        Raises:
            EdgeupError: it does not run on these inputs, or was saved for others.
        """
        if self.run is not None:
            return {name: _plain(array) for name, array in self.run(case.feeds).items()}
        assert self.saved is not None  # noqa: S101 - a side runs or was saved
        name = None if self.saved.cases == (None,) else case.kind
        outputs, given = self.saved.outputs(name), self.saved.inputs_sha256(name)
        if given and case.feeds and given != feeds_sha256(case.feeds):
            raise EdgeupError(
                f"{self.facts['path']} was saved for other inputs than {case.kind} is here: give "
                f"the --seed, --shape and --load-inputs that it was saved with"
            )
        return outputs


def _plain(array: Array) -> Array:
    """NumPy has no bfloat16 of its own, and float32 holds every value of it."""
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def open_side(
    request: SideRequest,
    *,
    stack: ExitStack,
    shapes: Sequence[TensorSpec] = (),
    precision: ReferencePrecision = "fp32",
    trust: bool = False,
) -> Side:
    """Load one side; ``stack`` closes it.

    Args:
        request: what it is.
        stack: frees what was loaded.
        shapes: of the inputs, for a PyTorch model.
        precision: to compute in; "fp64" is for references.
        trust: load an engine without a sidecar that vouches for it.

    Raises:
        EdgeupError: it cannot be loaded, or not in that precision.
    """
    if isinstance(request, ModuleSide):
        return _module(request, shapes, precision)
    suffix = request.path.suffix.lower()
    if suffix not in SUFFIXES:
        raise EdgeupError(
            f"{request.path} is none of {', '.join(SUFFIXES)}: nothing that can be compared"
        )
    if not request.path.is_file():
        what = "is a folder" if request.path.is_dir() else "does not exist"
        raise EdgeupError(f"{request.path} {what}")
    if suffix == ".onnx":
        return _onnx(request.path, precision, stack)
    if precision == "fp64":
        why = (
            "saved outputs are what they are"
            if suffix == ".npz"
            else "an engine computes in the precision that it was built in"
        )
        raise EdgeupError(f"--reference-precision fp64: {request.path}: {why}; leave it out")
    return _saved(request.path) if suffix == ".npz" else _engine(request.path, trust, stack)


def _file_facts(kind: str, path: Path, precision: str) -> dict[str, Any]:
    return {
        "kind": kind,
        "name": path.name,
        "path": str(path),
        "sha256": sha256_of(path),
        "precision": precision,
    }


def _onnx(path: Path, precision: ReferencePrecision, stack: ExitStack) -> Side:
    from edgeup.export.load import load_model
    from edgeup.pipeline.stored import read_stored
    from edgeup.runtime.float64_session import Float64Session
    from edgeup.runtime.ort_session import OnnxRuntimeSession

    model = load_model(path)
    if precision == "fp64":
        check_small(path, model)
        wide = stack.enter_context(Float64Session(path))
        side = Side(_file_facts("onnx", path, "fp64"), "fp32", wide.inputs, wide.run)
        side.facts["backend"] = "onnx ReferenceEvaluator"
    else:
        own = _precision_of(model)
        session = stack.enter_context(
            OnnxRuntimeSession(path, optimize=False, yield_cores=True)  # the two take turns
        )
        side = Side(_file_facts("onnx", path, own), own, session.inputs, session.run)
        side.facts["backend"] = "ONNX Runtime, CPU, optimisations off"
    stored = read_stored(path)
    notices = []
    if stored.random_weights:
        notices.append(f"{path.name} has random weights: its output means nothing")
    if side.precision in ("fp16", "bf16"):
        notices.append(
            f"{path.name} in {side.precision}: ONNX Runtime computes it here mostly in float32, "
            f"and so rounds less than a GPU does, and hides an overflow inside; "
            f"`edgeup optimize --precision` measures with every result rounded"
        )
    return replace(side, preprocess=stored.preprocess, notices=tuple(notices))


def _precision_of(model: ir.Model) -> str:
    """The narrowest precision that the file's numbers have."""
    import onnx_ir as ir

    if any(node.op_type == "QuantizeLinear" for node in model.graph.all_nodes()):
        return "int8"
    values = [
        *model.graph.inputs,
        *model.graph.outputs,
        *(value for graph in model.graphs() for value in graph.initializers.values()),
    ]
    types = {value.dtype for value in values} | {
        value.const_value.dtype for value in values if value.const_value is not None
    }
    if ir.DataType.BFLOAT16 in types:
        return "bf16"
    return "fp16" if ir.DataType.FLOAT16 in types else "fp32"


def _engine(path: Path, trust: bool, stack: ExitStack) -> Side:
    from edgeup.runtime.engine.sidecar import read_sidecar
    from edgeup.runtime.sessions import open_session

    notices: list[str] = []
    session = stack.enter_context(open_session(path, trust=trust, notice=notices.append))
    sidecar = read_sidecar(path)
    precision = "unknown" if sidecar is None else sidecar.precision
    rtx = sidecar is not None and sidecar.package == "tensorrt_rtx"
    backend = "TensorRT for RTX" if rtx else "TensorRT"
    facts = {**_file_facts("engine", path, precision), "backend": backend}
    return Side(facts, precision, session.inputs, session.run, notices=tuple(notices))


def _saved(path: Path) -> Side:
    saved = SavedOutputs(path)
    origin = saved.origin
    facts = {**_file_facts("saved", path, origin.precision), "backend": origin.backend}
    return Side(facts, origin.precision, origin.inputs, saved=saved)


def _module(
    request: ModuleSide, shapes: Sequence[TensorSpec], precision: ReferencePrecision
) -> Side:
    subject = request.build(shapes)
    module = _ModuleRun(request.name, subject, wide=precision == "fp64")
    facts = {
        "kind": "pytorch",
        "name": request.name,
        "description": subject.description,
        "weights": subject.facts.get("weights"),
        "precision": precision,
        "backend": "PyTorch, CPU",
    }
    preprocess = None if subject.preprocess is None else subject.preprocess.to_json()
    return Side(
        facts,
        "fp32",
        subject.inputs,
        module,
        preprocess=preprocess,
        notices=tuple(subject.notices),
    )


@dataclass
class _ModuleRun:
    """Runs a subject's module; ``wide``: a copy in float64, since the user may hold the module."""

    name: str
    subject: Subject
    wide: bool
    _module: Any = field(init=False)

    def __post_init__(self) -> None:
        import copy

        self._module = self.subject.module
        if self.wide:
            self._module = self._call(lambda: copy.deepcopy(self.subject.module).double())

    def __call__(self, feeds: Feeds) -> Outputs:
        from edgeup.models.run import run_module

        arrays = [feeds[spec.name] for spec in self.subject.inputs]
        if self.wide:
            arrays = [a.astype("float64") if a.dtype.kind == "f" else a for a in arrays]
        values = self._call(lambda: run_module(self._module, arrays))
        if self.wide and any(v.dtype.name in ("float32", "float16") for v in values):
            raise EdgeupError(
                f"--reference-precision fp64: {self.name} narrows its numbers to "
                f"{next(v.dtype.name for v in values if v.dtype.kind == 'f')} on the way; "
                f"leave the option out"
            )
        names = self.subject.output_names or [f"output_{index}" for index in range(len(values))]
        return dict(zip(names, values, strict=True))

    def _call(self, action: Callable[[], Any]) -> Any:
        """The user's code; what it raises becomes one line."""
        try:
            return action()
        except EdgeupError:
            raise
        except Exception as error:
            wide = " in float64" if self.wide else ""
            raise EdgeupError(
                f"{self.name} raised {type(error).__name__}{wide}: {str(error) or '(no message)'}"
            ) from error
