"""The two sides of a comparison: whatever gives outputs for inputs, or gave them once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from edgeup.errors import EdgeupError
from edgeup.files import sha256_of
from edgeup.pipeline.verify.rounded import Rounding
from edgeup.runtime.inputs import Case
from edgeup.runtime.saved_outputs import SavedOutputs, feeds_sha256
from edgeup.runtime.sessions import ENGINE_SUFFIXES
from edgeup.spec import Array, Feeds, Outputs, TensorSpec

if TYPE_CHECKING:
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
    rounding: Rounding = "each-node",
    trust: bool = False,
) -> Side:
    """Load one side; ``stack`` closes it.

    Args:
        request: what it is.
        stack: frees what was loaded.
        shapes: of the inputs, for a PyTorch model.
        precision: to compute in; "fp64" is for references.
        rounding: of an ONNX file in 16 bits.
        trust: load an engine without a sidecar that vouches for it.

    Raises:
        EdgeupError: it cannot be loaded, or not in that precision.
    """
    if isinstance(request, ModuleSide):
        return _module(request, shapes, precision)
    check_file(request.path)
    suffix = request.path.suffix.lower()
    if suffix == ".onnx":
        from edgeup.pipeline.verify.onnx_side import open_onnx

        return open_onnx(request.path, precision, rounding, stack)
    if precision == "fp64":
        why = (
            "saved outputs are what they are"
            if suffix == ".npz"
            else "an engine computes in the precision that it was built in"
        )
        raise EdgeupError(f"--reference-precision fp64: {request.path}: {why}; leave it out")
    return _saved(request.path) if suffix == ".npz" else _engine(request.path, trust, stack)


def check_file(path: Path) -> None:
    """Refuse what is no side, before it is read.

    Raises:
        EdgeupError: its suffix is of no side, or there is no such file.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise EdgeupError(f"{path} is none of {', '.join(SUFFIXES)}: nothing that can be compared")
    if not path.is_file():
        raise EdgeupError(f"{path} {'is a folder' if path.is_dir() else 'does not exist'}")


def file_facts(kind: str, path: Path, precision: str) -> dict[str, Any]:
    """What the report says of a side that is a file."""
    return {
        "kind": kind,
        "name": path.name,
        "path": str(path),
        "sha256": sha256_of(path),
        "precision": precision,
    }


def _engine(path: Path, trust: bool, stack: ExitStack) -> Side:
    from edgeup.runtime.engine.sidecar import read_sidecar
    from edgeup.runtime.sessions import open_session

    notices: list[str] = []
    session = stack.enter_context(open_session(path, trust=trust, notice=notices.append))
    sidecar = read_sidecar(path)
    precision = "unknown" if sidecar is None else sidecar.precision
    rtx = sidecar is not None and sidecar.package == "tensorrt_rtx"
    backend = "TensorRT for RTX" if rtx else "TensorRT"
    facts = {**file_facts("engine", path, precision), "backend": backend}
    return Side(facts, precision, session.inputs, session.run, notices=tuple(notices))


def _saved(path: Path) -> Side:
    saved = SavedOutputs(path)
    origin = saved.origin
    facts = {**file_facts("saved", path, origin.precision), "backend": origin.backend}
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
        from edgeup.export.torch_names import names_of_paths
        from edgeup.models.run import run_with_paths

        arrays = [feeds[spec.name] for spec in self.subject.inputs]
        if self.wide:
            arrays = [a.astype("float64") if a.dtype.kind == "f" else a for a in arrays]
        found = self._call(lambda: run_with_paths(self._module, arrays))
        values = [array for _, array in found]
        if self.wide and any(v.dtype.name in ("float32", "float16") for v in values):
            raise EdgeupError(
                f"--reference-precision fp64: {self.name} narrows its numbers to "
                f"{next(v.dtype.name for v in values if v.dtype.kind == 'f')} on the way; "
                f"leave the option out"
            )
        # As `edgeup export` names them, so that a file of this module has the same.
        names = self.subject.output_names or names_of_paths(path for path, _ in found)
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
