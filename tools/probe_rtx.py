"""Which operators TensorRT for RTX takes, in which types: asked one small model at a time.

    python tools/probe_rtx.py            # writes edgeup/data/rtx_operators.json

A probe is one node. Its inputs come from the operator's ONNX schema: all of the shape `USUAL`,
unless `RECIPES` knows better. One type variable takes each type that the schema allows, the
others stay as they are; data inputs behind the first are fed, and in a second round constant.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import ml_dtypes  # noqa: F401 - gives NumPy the types that ONNX has and it has not
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from edgeup.runtime.nvidia_parser import NvidiaParser, NvidiaVerdict

Array: TypeAlias = npt.NDArray[Any]
WRITTEN = Path(__file__).parents[1] / "edgeup" / "data" / "rtx_operators.json"
USUAL = (2, 4, 6, 6)
RANKS = (0, 1, 2, 3, 5, 6, 8)
NEWEST_OPSET = onnx.defs.onnx_opset_version()
"""The parser reads any opset; the newest allows the most types."""
FIRST_CHOICE = ("FLOAT", "INT64", "INT32", "BOOL", "INT8")
TYPES = tuple(name for name, number in TensorProto.DataType.items() if number not in (0, 8))


@dataclass(frozen=True)
class Recipe:
    """``inputs``: a shape for data, an array for a constant, None for one left out."""

    inputs: Sequence[tuple[int, ...] | Array | None]
    attributes: dict[str, Any] = field(default_factory=dict)
    outputs: int = 0
    opset: int = 0


def _ints(*numbers: int) -> Array:
    return np.asarray(numbers, np.int64)


def _branch(name: str, value: float) -> onnx.GraphProto:
    out = helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])
    tensor = helper.make_tensor("", TensorProto.FLOAT, [1], [value])
    return helper.make_graph(
        [helper.make_node("Constant", [], [name], value=tensor)], name, [], [out]
    )


_SEQUENCE = (3, 2, 4)  # sequence, batch, features
_SQUARE = {"kernel_shape": [2, 2]}
RECIPES: dict[str, Recipe] = {
    "Attention": Recipe([(2, 4, 1, 64), (2, 4, 16, 64), (2, 4, 16, 64)]),
    "AveragePool": Recipe([USUAL], _SQUARE),
    "BatchNormalization": Recipe([USUAL, (4,), (4,), (4,), (4,)]),
    "BitShift": Recipe([USUAL, USUAL], {"direction": "LEFT"}),
    "BlackmanWindow": Recipe([np.asarray(8, np.int64)]),
    "CastLike": Recipe([USUAL, (1,)]),
    "Clip": Recipe([USUAL, (), ()]),
    "Concat": Recipe([USUAL, USUAL], {"axis": 1}),
    "Constant": Recipe([], {"value": helper.make_tensor("", TensorProto.FLOAT, [1], [1.0])}),
    "ConstantOfShape": Recipe([_ints(2, 3)]),
    "Conv": Recipe([USUAL, (4, 4, 3, 3), (4,)]),
    "ConvTranspose": Recipe([USUAL, (4, 4, 3, 3), (4,)]),
    "ConvInteger": Recipe([USUAL, (4, 4, 3, 3)]),
    "CumSum": Recipe([USUAL, np.asarray(1, np.int64)]),
    "CumProd": Recipe([USUAL, np.asarray(1, np.int64)]),
    "DFT": Recipe([(1, 8, 1)], {"axis": 1}, opset=17),
    "DeformConv": Recipe([(1, 1, 3, 3), (1, 1, 2, 2), (1, 8, 4, 4)], {"pads": [1, 1, 1, 1]}),
    "DepthToSpace": Recipe([USUAL], {"blocksize": 2}),
    "Det": Recipe([(2, 3, 3)]),
    "Dropout": Recipe([USUAL]),
    "Einsum": Recipe([(3, 4), (4, 5)], {"equation": "ij,jk->ik"}),
    "Expand": Recipe([USUAL, _ints(2, 4, 6, 6)]),
    "EyeLike": Recipe([(4, 4)]),
    "GRU": Recipe([_SEQUENCE, (1, 15, 4), (1, 15, 5)], {"hidden_size": 5}, 2),
    "Gather": Recipe([USUAL, _ints(0, 1)], {"axis": 1}),
    "GatherElements": Recipe([(3, 3), np.zeros((2, 3), np.int64)]),
    "GatherND": Recipe([(3, 3), np.zeros((2, 1), np.int64)]),
    "Gemm": Recipe([(3, 4), (4, 5), (5,)]),
    "GridSample": Recipe([USUAL, (2, 5, 5, 2)]),
    "GroupNormalization": Recipe([USUAL, (4,), (4,)], {"num_groups": 2}),
    "HammingWindow": Recipe([np.asarray(8, np.int64)]),
    "HannWindow": Recipe([np.asarray(8, np.int64)]),
    "If": Recipe([()], {"then_branch": _branch("a", 1.0), "else_branch": _branch("b", 2.0)}),
    "InstanceNormalization": Recipe([USUAL, (4,), (4,)]),
    "LRN": Recipe([USUAL], {"size": 3}),
    "LSTM": Recipe([_SEQUENCE, (1, 20, 4), (1, 20, 5)], {"hidden_size": 5}, 2),
    "LayerNormalization": Recipe([USUAL, (6,), (6,)]),
    "LpPool": Recipe([USUAL], _SQUARE),
    "MaxPool": Recipe([USUAL], _SQUARE),
    "MaxRoiPool": Recipe([USUAL, (2, 5)], {"pooled_shape": [2, 2]}),
    "MaxUnpool": Recipe([(1, 1, 2, 2), np.zeros((1, 1, 2, 2), np.int64)], _SQUARE),
    "NonMaxSuppression": Recipe(
        [
            (1, 6, 4),
            (1, 1, 6),
            _ints(3),
            np.asarray([0.5], np.float32),
            np.asarray([0.0], np.float32),
        ]
    ),
    "OneHot": Recipe([(3,), np.asarray(4, np.int64), (2,)]),
    "PRelu": Recipe([USUAL, (4, 1, 1)]),
    "Pad": Recipe([USUAL, _ints(0, 0, 1, 1, 0, 0, 1, 1)]),
    "RMSNormalization": Recipe([USUAL, (6,)]),
    "RNN": Recipe([_SEQUENCE, (1, 5, 4), (1, 5, 5)], {"hidden_size": 5}, 2),
    "RandomNormal": Recipe([], {"shape": [2, 3]}),
    "RandomNormalLike": Recipe([USUAL], {"dtype": TensorProto.FLOAT}),
    "RandomUniform": Recipe([], {"shape": [2, 3]}),
    "RandomUniformLike": Recipe([USUAL], {"dtype": TensorProto.FLOAT}),
    "Reshape": Recipe([USUAL, _ints(2, -1)]),
    "Resize": Recipe([USUAL, None, np.asarray([1, 1, 2, 2], np.float32)]),
    "ReverseSequence": Recipe([(4, 3, 2), _ints(1, 2, 3)]),
    "RoiAlign": Recipe([USUAL, (2, 4), _ints(0, 1)]),
    "RotaryEmbedding": Recipe([(2, 3, 4, 8), (2, 4, 4), (2, 4, 4)]),
    "STFT": Recipe([(1, 32, 1), np.asarray(8, np.int64), np.ones(16, np.float32)]),
    "Scatter": Recipe([(3, 3), np.zeros((2, 3), np.int64), (2, 3)], opset=10),
    "ScatterElements": Recipe([(3, 3), np.zeros((2, 3), np.int64), (2, 3)]),
    "ScatterND": Recipe([(3, 3), np.zeros((2, 1), np.int64), (2, 3)]),
    "Slice": Recipe([USUAL, _ints(1), _ints(3), _ints(2)]),
    "SpaceToDepth": Recipe([USUAL], {"blocksize": 2}),
    "Split": Recipe([USUAL, _ints(2, 2)], {"axis": 1}, 2),
    "Squeeze": Recipe([(1, 4), _ints(0)]),
    "TensorScatter": Recipe([(2, 3, 8, 4), (2, 3, 2, 4), _ints(1, 2)]),
    "Tile": Recipe([USUAL, _ints(1, 1, 2, 2)]),
    "TopK": Recipe([USUAL, _ints(2)], {}, 2),
    "Trilu": Recipe([USUAL]),
    "Unsqueeze": Recipe([USUAL, _ints(0)]),
    "Upsample": Recipe([USUAL, np.asarray([1, 1, 2, 2], np.float32)], opset=9),
    "Mod": Recipe([USUAL, USUAL], {"fmod": 1}),
    "MatMul": Recipe([(3, 4), (4, 5)]),
    "MatMulInteger": Recipe([(3, 4), (4, 5)]),
    "QuantizeLinear": Recipe([USUAL, np.asarray(0.5, np.float32), np.asarray(0, np.int8)]),
    "DequantizeLinear": Recipe([USUAL, np.asarray(0.5, np.float32)]),
    "CausalConvWithState": Recipe([(2, 4, 6), (4, 1, 3)], {}, 2),
    "LinearAttention": Recipe(
        [(2, 3, 4), (2, 3, 4), (2, 3, 4)], {"q_num_heads": 1, "kv_num_heads": 1}, 2
    ),
    "Cast": Recipe([USUAL], {"to": TensorProto.FLOAT}),
}
ABOUT = (
    "What TensorRT for RTX parses and builds for compute capability 8.6, one node at a time; "
    "written by tools/probe_rtx.py. `types`: those that it has at all. `refused`: operators of "
    "which it took no probe, and its answer. `ranks`: of the first input, those refused. "
    "`operators`: the others, and by type variable the places of the inputs (of all of them where "
    "`variadic`), the types refused when they are `fed`, and when those behind the first are "
    "`constant`."
)
APART = ("Loop", "Scan", "Range")
"""Taken (onnx-tensorrt docs/operators.md, 11.1); one node alone says little about them."""


def main() -> None:
    """Probe everything and write the table."""
    taken: dict[str, list[dict[str, Any]]] = {}
    refused: dict[str, str] = {}
    ranks: dict[str, list[int]] = {}
    with NvidiaParser("tensorrt_rtx") as parser:
        for name in sorted({schema.name for schema in _schemas()} - set(APART)):
            entries, why = _probe(name, parser)
            if entries is None:
                refused[name] = why
            else:
                taken[name] = entries
                ranks[name] = _refused_ranks(name, parser)
            print(name, why or entries, flush=True)
        taken |= {name: [] for name in APART}
        types = _types_at_all(taken)
        document = {
            "_about": ABOUT,
            "version": parser.version,
            "types": types,
            "refused": refused,
            "ranks": {name: found for name, found in ranks.items() if found},
            "operators": dict(sorted(taken.items())),
        }
    WRITTEN.write_text(_written(document), encoding="utf-8")


def _types_at_all(taken: dict[str, list[dict[str, Any]]]) -> list[str]:
    """What Shape reads, which computes nothing; the other types are left out of all entries."""
    refused = taken["Shape"][0]["fed"]
    types = [name for name in _allowed(onnx.defs.get_schema("Shape"), "T") if name not in refused]
    for entry in (entry for entries in taken.values() for entry in entries):
        for source in ("fed", "constant"):
            if source in entry:
                entry[source] = [name for name in entry[source] if name in types]
    return types


def _written(document: dict[str, Any]) -> str:
    """JSON with one operator a line."""
    parts = []
    for key, value in document.items():
        if isinstance(value, dict):
            lines = [f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items()]
            parts.append(f"  {json.dumps(key)}: {{\n" + ",\n".join(lines) + "\n  }")
        else:
            parts.append(f"  {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _schemas() -> Iterator[onnx.defs.OpSchema]:
    for schema in onnx.defs.get_all_schemas_with_history():
        if schema.domain == "" and not _takes_no_tensor(schema):
            yield schema


def _takes_no_tensor(schema: onnx.defs.OpSchema) -> bool:
    """Of strings, sequences and optionals alone: there is no probe to write."""
    first = schema.inputs[0].types if schema.inputs else {"tensor(float)"}
    return not any("tensor(" in kind[:7] and kind != "tensor(string)" for kind in first)


def _probe(name: str, parser: NvidiaParser) -> tuple[list[dict[str, Any]] | None, str]:
    """The entry of an operator, None where no probe was taken, and the answer to the first."""
    recipe = RECIPES.get(name) or _usual_recipe(name)
    if recipe is None:
        return None, "it makes or takes no tensor"
    schema = _schema_of(name, recipe)
    entries: list[dict[str, Any]] = []
    verdicts: list[NvidiaVerdict] = []
    for kind, places in _variables(schema, recipe).items():
        variadic = len(places) == len(recipe.inputs) > len(schema.inputs)
        entry: dict[str, Any] = {"inputs": places, "variadic": variadic}
        for source in ("fed", "constant"):
            if source == "constant" and _data_inputs(recipe) < 2:
                continue
            asked = {
                dtype: _ask_alone_and_with_others(
                    name, schema, recipe, (kind, dtype), source == "fed", parser
                )
                for dtype in _allowed(schema, kind)
            }
            verdicts += asked.values()
            entry[source] = [dtype for dtype, verdict in asked.items() if not verdict.accepted]
        entries.append(entry)
    if not entries:
        verdicts = [_ask(name, schema, recipe, {}, True, parser)]
    if any(verdict.accepted for verdict in verdicts):
        return entries, ""
    why = verdicts[0].errors[0]
    return None, f"{why.code}: {why.text}"[:200]


def _refused_ranks(name: str, parser: NvidiaParser) -> list[int]:
    """Of the first input, and of those that are like it; where ONNX takes the rank at all."""
    recipe = RECIPES.get(name) or _usual_recipe(name)
    if recipe is None or not all(_fits_any_rank(given) for given in recipe.inputs):
        return []
    schema, found = _schema_of(name, recipe), []
    for rank in RANKS:
        shape = (*USUAL, 2, 2, 2, 2)[:rank]
        inputs = [
            shape if isinstance(given, tuple) and given == USUAL else given
            for given in recipe.inputs
        ]
        model = _model(name, schema, replace(recipe, inputs=inputs), {}, True)
        try:
            onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
        except onnx.shape_inference.InferenceError:
            continue
        if not parser.ask(model.SerializeToString(), build=True).accepted:
            found.append(rank)
    return found


def _fits_any_rank(given: tuple[int, ...] | Array | None) -> bool:
    """Data like the first input's, or one number per channel."""
    return isinstance(given, tuple) and given in (USUAL, USUAL[1:2])


def _ask_alone_and_with_others(
    name: str,
    schema: onnx.defs.OpSchema,
    recipe: Recipe,
    chosen: tuple[str, str],
    fed: bool,
    parser: NvidiaParser,
) -> NvidiaVerdict:
    """One type variable takes the type, then all that may: TensorRT often wants one type."""
    kind, dtype = chosen
    alone = _ask(name, schema, recipe, {kind: dtype}, fed, parser)
    kinds = [other for other in _variables(schema, recipe) if dtype in _allowed(schema, other)]
    if alone.accepted or len(kinds) < 2:
        return alone
    return _ask(name, schema, recipe, dict.fromkeys(kinds, dtype), fed, parser)


def _ask(
    name: str,
    schema: onnx.defs.OpSchema,
    recipe: Recipe,
    types: dict[str, str],
    fed: bool,
    parser: NvidiaParser,
) -> NvidiaVerdict:
    model = _model(name, schema, recipe, types, fed)
    return parser.ask(model.SerializeToString(), build=True)


def _data_inputs(recipe: Recipe) -> int:
    return sum(isinstance(given, tuple) for given in recipe.inputs)


def _usual_recipe(name: str) -> Recipe | None:
    schema = _schema_of(name, Recipe([]))
    single = onnx.defs.OpSchema.FormalParameterOption.Optional
    inputs = [USUAL for given in schema.inputs if given.option != single]
    if inputs and schema.inputs[-1].option == onnx.defs.OpSchema.FormalParameterOption.Variadic:
        inputs.append(USUAL)
    if any("seq(" in kind or "optional(" in kind for g in schema.inputs for kind in g.types):
        inputs = [USUAL] if inputs and "tensor(float)" in schema.inputs[0].types else []
    if not inputs:
        return None
    attributes = {"to": TensorProto.FLOAT} if "to" in schema.attributes else {}
    return Recipe(inputs, attributes)


def _schema_of(name: str, recipe: Recipe) -> onnx.defs.OpSchema:
    if recipe.opset:
        return onnx.defs.get_schema(name, recipe.opset)
    return onnx.defs.get_schema(name)


def _formal(schema: onnx.defs.OpSchema, place: int) -> onnx.defs.OpSchema.FormalParameter:
    return schema.inputs[min(place, len(schema.inputs) - 1)]


def _variables(schema: onnx.defs.OpSchema, recipe: Recipe) -> dict[str, list[int]]:
    """The places of each type variable that a data input has."""
    seen: dict[str, list[int]] = {}
    for place, given in enumerate(recipe.inputs):
        if isinstance(given, tuple):
            seen.setdefault(_formal(schema, place).type_str, []).append(place)
    return seen


def _allowed(schema: onnx.defs.OpSchema, kind: str) -> list[str]:
    strings = next(
        (c.allowed_type_strs for c in schema.type_constraints if c.type_param_str == kind), [kind]
    )
    names = {s.removeprefix("tensor(").removesuffix(")").upper() for s in strings}
    return [name for name in TYPES if name in names]


def _model(
    name: str, schema: onnx.defs.OpSchema, recipe: Recipe, types: dict[str, str], fed: bool
) -> onnx.ModelProto:
    random = np.random.default_rng(0)
    inputs, constants, names, is_first = [], [], [], True
    for place, given in enumerate(recipe.inputs):
        if given is None:
            names.append("")
            continue
        label = f"x{place}"
        names.append(label)
        if isinstance(given, np.ndarray):
            constants.append(onnx.numpy_helper.from_array(given, label))
            continue
        kind = _formal(schema, place).type_str
        chosen = types.get(kind) or _default(schema, kind)
        number = TensorProto.DataType.Value(chosen)
        if fed or is_first:
            inputs.append(helper.make_tensor_value_info(label, number, list(given)))
        else:
            dtype = helper.tensor_dtype_to_np_dtype(number)
            values = random.integers(1, 2, given).astype(dtype)
            constants.append(onnx.numpy_helper.from_array(values, label))
        is_first = False
    outputs = [f"y{i}" for i in range(recipe.outputs or schema.min_output)]
    node = helper.make_node(name, names, outputs, **recipe.attributes)
    graph = helper.make_graph([node], name, inputs, [], constants)
    opset = recipe.opset or NEWEST_OPSET
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return _with_outputs(model, outputs, types)


def _default(schema: onnx.defs.OpSchema, kind: str) -> str:
    allowed = _allowed(schema, kind)
    return next(name for name in (*FIRST_CHOICE, *allowed) if name in allowed)


def _with_outputs(
    model: onnx.ModelProto, outputs: Sequence[str], types: dict[str, str]
) -> onnx.ModelProto:
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except onnx.shape_inference.InferenceError:
        inferred = model
    known = {value.name: value for value in inferred.graph.value_info}
    for name in outputs:
        value = known.get(name)
        if value is None:
            chosen = next(iter(types.values()), "FLOAT")
            number = TensorProto.DataType.Value(chosen)
            value = helper.make_tensor_value_info(name, number, None)
        model.graph.output.append(value)
    return model


if __name__ == "__main__":
    main()
