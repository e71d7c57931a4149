"""An ``nn.Module`` to ONNX through torch's dynamo exporter, at the opset torch writes natively.

The result is an ``onnx_ir.Model``: the exporter itself builds one and every later stage works
on it, so no weights are copied on the way. It is opset 18 whatever the target reads, because
torch's translations are written at 18 and it lowers no further; `edgeup.export.opset` does.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

from edgeup.errors import EdgeupError, MissingPackageError, unknown
from edgeup.export.torch_dims import DynamicDim, TracedDims
from edgeup.export.torch_errors import reason_of
from edgeup.export.torch_names import name_interface
from edgeup.spec import TensorSpec

if TYPE_CHECKING:
    import onnx_ir as ir
    import torch

NATIVE_OPSET = 18
"""Where torch 2.13 writes its translations; 20 only adds Gelu, 21 GroupNormalization, which older
targets lack: decomposed ones serve every target."""

Notice: TypeAlias = Callable[[str], None]
"""Where a stage says, in one line each, what it did that was not asked for."""

_DTYPES = (
    *("float32", "float16", "float64", "bfloat16", "bool"),
    *("uint8", "int8", "int16", "int32", "int64"),
)


def export_module(
    module: torch.nn.Module,
    inputs: Sequence[TensorSpec],
    output_names: Sequence[str] | None = None,
    *,
    dynamic: Mapping[str, DynamicDim] | None = None,
    notice: Notice,
) -> ir.Model:
    """Trace ``module`` in inference mode and translate it to ONNX opset 18.

    Inputs are bound by name where every spec names a parameter of ``forward``, by position
    otherwise. The module is left as it was: mode, gradients, random state.

    Args:
        module: what to export.
        inputs: a spec per input; a dimension that is a string becomes a dynamic one.
        output_names: a name per graph output; without it dict keys and attributes name them,
            and else ``output``, or ``output_0``, ``output_1``...
        dynamic: what is known of dynamic dimensions, by name.
        notice: called with one line for each thing done that was not asked for.

    Raises:
        EdgeupError: torch could not trace or translate the module; the line names the
            operator or the reason, and the original error is its cause.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingPackageError("torch", "torch", "exporting a module") from error
    from edgeup.export.translations.table import translation_table

    specs = _in_forward_order(module, inputs)
    dims = TracedDims(specs, dynamic or {})
    examples = _example_inputs(module, specs, dims)
    with _inference_mode(module, notice), torch.random.fork_rng(devices=[]), _silence():
        try:
            program = torch.onnx.export(
                module,
                examples,
                dynamo=True,
                opset_version=NATIVE_OPSET,
                dynamic_shapes=dims.for_torch(),
                custom_translation_table=translation_table(),
                verbose=False,
            )
        except Exception as error:
            raise EdgeupError(
                f"could not export {type(module).__name__}: {reason_of(error)}"
            ) from error
    # Typed optional for the TorchScript exporter's sake; dynamo=True always returns both.
    assert program is not None  # noqa: S101 (narrowing)
    assert program.exported_program is not None  # noqa: S101 (narrowing)
    dims.restore_names(program.model, specs)
    names = [spec.name for spec in specs]
    name_interface(program.model, program.exported_program, names, output_names)
    return program.model


def _in_forward_order(
    module: torch.nn.Module, inputs: Sequence[TensorSpec]
) -> tuple[TensorSpec, ...]:
    names = [spec.name for spec in inputs]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise EdgeupError(f"input {sorted(twice)[0]!r} is given twice; give each a name of its own")
    signature = inspect.signature(module.forward)
    try:
        signature.bind(*names)
    except TypeError as error:
        raise EdgeupError(
            f"{type(module).__name__}.forward takes {signature} and got "
            f"{len(names)} inputs: {', '.join(names)}"
        ) from error
    parameters = list(signature.parameters)
    if set(names) <= set(parameters):
        return tuple(sorted(inputs, key=lambda spec: parameters.index(spec.name)))
    return tuple(inputs)


def _example_inputs(
    module: torch.nn.Module, specs: Sequence[TensorSpec], dims: TracedDims
) -> tuple[torch.Tensor, ...]:
    import torch

    for spec in specs:
        if spec.dtype not in _DTYPES:
            raise unknown("input type", spec.dtype, _DTYPES)
    first = next(chain(module.parameters(), module.buffers()), None)
    device = torch.device("cpu") if first is None else first.device
    # Zeros are valid whatever an integer means to the module: an index, a mask, a class.
    return tuple(
        torch.zeros(dims.example_shape(spec), dtype=getattr(torch, spec.dtype), device=device)
        for spec in specs
    )


@contextlib.contextmanager
def _inference_mode(module: torch.nn.Module, notice: Notice) -> Iterator[None]:
    import torch

    modes = [(part, part.training) for part in module.modules()]
    if any(training for _, training in modes):
        notice(
            f"{type(module).__name__} was in training mode: exported in inference mode, "
            f"as after .eval()"
        )
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in modes:
            part.training = training


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Hold back what torch prints, logs and warns of; its errors still come through."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
