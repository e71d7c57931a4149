"""The commands that build an engine with trtexec where the model will run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeup.errors import EdgeupError, unknown
from edgeup.pipeline.build.model import BuildModel
from edgeup.pipeline.build.place import finders
from edgeup.pipeline.build.wish import BuildWish, Prepared, prepare, typed, with_workspace

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
        before = (command_line("edgeup", _conversion(path, model, onnx, wish)),)
        prepared = Prepared(
            BuildModel(model, wish.precision, None, {}), typed(wish, model, weak_fp16=False)
        )
    else:
        prepared = prepare(model, wish, lambda words: None)
        _check_names(path, prepared.options.keep_fp32)
    engine = Path(output.name)
    cache = None if wish.timing_cache is None else Path(wish.timing_cache.name)
    layers = engine.with_suffix(".layers.json") if target.version >= (8, 2) else None
    options, _ = with_workspace(prepared.options, finders().device())
    arguments = build_arguments(options, target.version, Files(onnx, engine, layers, cache))
    return (*before, command_line(USUAL_PATH, arguments))


def _conversion(path: Path, model: ir.Model, onnx: Path, wish: BuildWish) -> list[str]:
    """The arguments of edgeup that put the precision into the graph."""
    names = {node.name or "" for node in model.graph}
    for name in sorted(wish.keep_fp32 - names):
        raise unknown("node", name, names)
    arguments = ["optimize", path.name, "--target", wish.target.name]
    arguments += ["--precision", str(wish.precision)]
    if wish.io_precision != "fp32":
        arguments += ["--io-precision", wish.io_precision]
    if wish.keep_list is not None:
        arguments += ["--keep-fp32", wish.keep_list.name]
    if wish.seed:
        arguments += ["--seed", str(wish.seed)]
    return [*arguments, "-o", str(onnx)]


def _check_names(path: Path, kept: Sequence[str]) -> None:
    """trtexec reads the file itself, without the names that its nodes were given here."""
    from edgeup.export.load import load_model

    own = {node.name for node in load_model(path).graph} if kept else set()
    nameless = [name for name in kept if name not in own]
    if nameless:
        raise EdgeupError(
            f"trtexec finds layers by name, and the node {nameless[0]}, which must stay fp32, has "
            f"no name of its own in {path.name}; 'edgeup optimize {path.name} -o OUT.onnx' writes "
            f"a file with names"
        )
