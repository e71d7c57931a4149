"""The commands that build an engine with trtexec where the model will run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeup.errors import EdgeupError
from edgeup.pipeline.build_model import BuildModel
from edgeup.pipeline.build_place import finders
from edgeup.pipeline.build_wish import BuildWish, Prepared, prepare, typed, with_workspace

if TYPE_CHECKING:
    import onnx_ir as ir


def board_commands(path: Path, model: ir.Model, output: Path, wish: BuildWish) -> tuple[str, ...]:
    """What to type where the model will run, with all files in the working folder.

    Raises:
        EdgeupError: the target has no trtexec, or its version cannot do what was asked.
    """
    from edgeup.runtime.engine.trtexec import USUAL_PATH, Files, build_arguments, command_line

    target = wish.target
    if target.version is None:
        raise EdgeupError(f"{target.name} has no trtexec: build it in process, without --dry-run")
    onnx = Path(path.name)
    before: tuple[str, ...] = ()
    if wish.precision is not None and wish.precision != "fp32" and target.has_strong_typing:
        # Types are in the graph there: the file must be converted before.
        onnx = Path(f"{path.stem}-{wish.precision}.onnx")
        convert = ["optimize", path.name, "--target", target.name, "--precision", wish.precision]
        if wish.io_precision != "fp32":
            convert += ["--io-precision", wish.io_precision]
        before = (command_line("edgeup", [*convert, "-o", str(onnx)]),)
        prepared = Prepared(
            BuildModel(model, wish.precision, None, {}), typed(wish, model, weak_fp16=False)
        )
    else:
        prepared = prepare(model, wish, lambda words: None)
    engine = Path(output.name)
    cache = None if wish.timing_cache is None else Path(wish.timing_cache.name)
    layers = engine.with_suffix(".layers.json") if target.version >= (8, 2) else None
    options, _ = with_workspace(prepared.options, finders().device())
    arguments = build_arguments(options, target.version, Files(onnx, engine, layers, cache))
    return (*before, command_line(USUAL_PATH, arguments))
