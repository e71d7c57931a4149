"""Names of graph inputs and outputs: what the user asked for, or the module's own structure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from edgeup.errors import EdgeupError

if TYPE_CHECKING:
    import onnx_ir as ir
    import torch


def name_interface(
    model: ir.Model,
    program: torch.export.ExportedProgram,
    inputs: Sequence[str],
    wanted: Sequence[str] | None,
) -> None:
    """Rename the graph inputs and outputs of an exported module.

    The exporter can do it too, but lets a name clash with an inner value or a weight.

    Args:
        model: the exported graph; its inputs and outputs get their names in place.
        program: what was traced; it knows how the module nests what it returns.
        inputs: a name per input.
        wanted: a name per output, or None for names from the structure: dict keys and
            attributes as they are, positions as ``output_0``.

    Raises:
        EdgeupError: the names do not fit the outputs in number, or clash.
    """
    outputs = list(model.graph.outputs)
    names = list(wanted) if wanted is not None else _structural_names(program, len(outputs))
    if len(names) != len(outputs):
        raise EdgeupError(
            f"{len(names)} output names ({', '.join(names)}) for {len(outputs)} outputs; "
            f"give one name for each"
        )
    taken = list(inputs)
    for name in names:
        if name in taken:
            raise EdgeupError(
                f"output name {name!r} is taken by another input or output; choose another"
            )
        taken.append(name)
    _give(model, [*model.graph.inputs, *outputs], [*inputs, *names])


def _structural_names(program: torch.export.ExportedProgram, count: int) -> list[str]:
    import torch.utils._pytree as pytree
    from torch.export.graph_signature import ConstantArgument, OutputKind

    structure = program.call_spec.out_spec
    results = [
        result.arg
        for result in program.graph_signature.output_specs
        if result.kind is OutputKind.USER_OUTPUT
    ]
    if structure is None or structure.num_leaves != len(results):
        return _numbered(count)
    try:
        leaves, _ = pytree.tree_flatten_with_path(pytree.tree_unflatten(results, structure))
    except ValueError:  # of a type that was registered without keys
        return _numbered(count)
    # A leaf that is None (an auxiliary head that is off) is no graph output.
    paths = [path for path, result in leaves if not isinstance(result, ConstantArgument)]
    if len(paths) != count:
        return _numbered(count)
    return names_of_paths(paths)


def names_of_paths(paths: Iterable[Sequence[Any]]) -> list[str]:
    """Dict keys and attributes as they are, positions as ``output_0``, a lone tensor ``output``.

    Args:
        paths: of `torch.utils._pytree`, to each output in what the module returns.
    """
    names = ["_".join(_step(key) for key in path) for path in paths]
    return [f"output_{n}" if n[:1].isdigit() else n or "output" for n in names]


def _numbered(count: int) -> list[str]:
    return ["output"] if count == 1 else [f"output_{index}" for index in range(count)]


def _step(key: Any) -> str:
    for attribute in ("key", "idx", "name"):
        if hasattr(key, attribute):
            return str(getattr(key, attribute))
    return str(key)


def _give(model: ir.Model, interface: Sequence[ir.Value], names: Sequence[str]) -> None:
    """Rename, after moving aside any inner value that has one of the names."""
    own = {id(value) for value in interface}
    inner = [v for node in model.graph.all_nodes() for v in node.outputs if id(v) not in own]
    inner += [v for v in model.graph.initializers.values() if id(v) not in own]
    used = {v.name for v in inner} | set(names)
    for value in inner:
        if value.name in names:
            fresh = next(f for i in range(len(used) + 1) if (f := f"{value.name}_{i}") not in used)
            used.add(fresh)
            value.name = fresh
    # Two steps, as a wanted name may still belong to another input or output.
    for index, value in enumerate(interface):
        value.name = f"__edgeup_{index}"
    for value, name in zip(interface, names, strict=True):
        value.name = name
