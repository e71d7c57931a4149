"""What an engine tells of its layers, and whether it is what was asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeup.errors import EdgeupError
from edgeup.runtime.engine.downgrade import Asked, compare
from edgeup.runtime.engine.layer_info import Layer, nodes_of, parse_layers

# Layers of a ResNet-50 in fp16 on an RTX 3090, as published with NVIDIA's TREx.
DETAILED_8 = (Path(__file__).parent / "data" / "trtexec" / "layers_8.4.json").read_text()

# From 8.6 on with metadata, whose parts 0x1f and 0x1e separate; from 10 on with short formats.
DETAILED_10 = json.dumps(
    {
        "Layers": [
            {
                "Name": "/c/Conv + /r/Relu",
                "LayerType": "CaskConvolution",
                "Inputs": [{"Name": "x", "Format/Datatype": "Half"}],
                "Outputs": [{"Name": "a", "Format/Datatype": "Half"}],
                "Weights": {"Type": "Half", "Count": 9408},
                "StreamId": 0,
                "Metadata": "[ONNX Layer: /c/Conv]\x1f[ONNX Layer: /r/Relu]",
            },
            {
                "Name": "__myl_Move_myl1_0",
                "LayerType": "kgen",
                "Inputs": [{"Name": "a", "Format/Datatype": "Float"}],
                "Outputs": [{"Name": "y", "Format/Datatype": "Float"}],
                "Metadata": "[ONNX Layer: /s/Softmax]\x1e[ONNX Layer: /elsewhere]",
            },
        ],
        "Bindings": ["x", "y"],
    }
).replace("\\u001f", "\x1f")


def test_a_detailed_description_of_tensorrt_8():
    shuffle, reformat, conv, softmax = parse_layers(DETAILED_8)
    assert not reformat.computes
    assert (shuffle.kind, shuffle.precision) == ("Shuffle", "fp32")
    assert (conv.kind, conv.precision) == ("CaskConvolution", "fp16")
    assert (softmax.kind, softmax.precision) == ("CudaSoftMax", "fp32")
    order = ["Conv__435", "resnet50/conv1_relu/Relu", "resnet50/predictions/Softmax"]
    assert nodes_of(reformat, order) == ()
    assert nodes_of(conv, order) == tuple(order[:2])
    assert nodes_of(softmax, order) == tuple(order[2:])


def test_metadata_of_later_releases_is_read_with_its_control_characters():
    conv, softmax = parse_layers(DETAILED_10)
    order = ["/c/Conv", "/r/Relu", "/s/Softmax"]
    assert nodes_of(conv, order) == ("/c/Conv", "/r/Relu")
    assert nodes_of(softmax, order) == ("/s/Softmax",)
    assert (conv.precision, softmax.precision) == ("fp16", "fp32")


def test_names_alone():
    layers = parse_layers('{"Layers": ["a + b"\n,"c"\n],\n"Bindings": ["x"\n]}\n')
    assert [(layer.name, layer.precision) for layer in layers] == [("a + b", None), ("c", None)]


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("a + b", ("a", "b")),
        ("PWN(PWN(a), b)", ("a", "b")),
        ("PWN(a, b)", ("a", "b")),
        ("c || d", ("c", "d")),
        ("a + PWN(b) + c", ("a", "b", "c")),
        ("{ForeignNode[b...d]}", ("b", "c", "d")),
        ("{ForeignNode[(Unnamed Layer* 56) [Constant]...d]}", ("d",)),
        ("(Unnamed Layer* 3) [Shuffle]", ()),
        ("/x/a(1)", ("/x/a(1)",)),
    ],
)
def test_layers_are_named_after_their_nodes(name, nodes):
    assert nodes_of(Layer(name), ["a", "b", "c", "d", "/x/a(1)"]) == nodes


@pytest.mark.parametrize(
    ("told", "precision"),
    [
        ("Row major linear FP32", "fp32"),
        ("Row major linear FP16 format", "fp16"),
        ("Thirty-two wide channel vectorized row major Int8 format", "int8"),
        ("Half", "fp16"),
        ("Float", "fp32"),
        ("BFloat16", "bf16"),
        ("Half(64,1:8,8)", "fp16"),
        ("N/A due to dynamic shapes", None),
        ("Row major Int32", "int32"),
    ],
)
def test_formats(told, precision):
    text = json.dumps({"Layers": [{"Name": "a", "Outputs": [{"Format/Datatype": told}]}]})
    assert parse_layers(text)[0].precision == precision


def test_weights_tell_where_shapes_are_dynamic():
    [layer] = parse_layers(
        '{"Layers": [{"Name": "c", "LayerType": "CaskConvolution", "Weights": {"Type": "Half"},'
        ' "Inputs": [{"Format/Datatype": "N/A due to dynamic shapes"}]}]}'
    )
    assert layer.precision == "fp16"


@pytest.mark.parametrize("text", ["", "[]", '{"Layers": 3}', '{"Layers": [3]}', "no engine"])
def test_what_is_no_layer_information_is_refused(text):
    with pytest.raises(EdgeupError, match="layer information"):
        parse_layers(text)


# ----------------------------------------------------------------------------------- the comparison


def layer(name, precision, kind="CaskConvolution", **more):
    return Layer(name, kind, precision, **more)


STRONG = Asked({"a": "fp16", "b": "fp16", "c": "fp32", "cast": None}, {}, strongly_typed=True)


def test_strong_typing_allows_no_difference():
    as_asked = [layer("a + b", "fp16"), layer("c", "fp32"), layer("cast", "fp32")]
    assert compare(as_asked, STRONG).passed
    assert compare(as_asked, STRONG).verified
    read_back = compare([layer("a", "fp32"), layer("b", "fp16"), layer("c", "fp16")], STRONG)
    assert [(d.layer, d.asked, d.got) for d in read_back.downgrades] == [
        ("a", "fp16", "fp32"),
        ("c", "fp32", "fp16"),
    ]
    assert not read_back.passed


def test_a_fused_layer_may_compute_in_any_of_its_nodes_precisions():
    assert compare([layer("b + c", "fp32")], STRONG).passed
    assert compare([layer("b + c", "fp16")], STRONG).passed
    assert not compare([layer("b + c", "bf16")], STRONG).passed


def weak(**macs):
    return Asked({"a": "fp16", "b": "fp16", "kept": "fp32"}, macs, strongly_typed=False)


def test_weak_typing_must_obey_the_list():
    read_back = compare([layer("a", "fp16"), layer("b + kept", "fp16")], weak())
    [downgrade] = read_back.downgrades
    assert (downgrade.layer, downgrade.reason) == ("b + kept", "kept stay in fp32")


def test_weak_typing_lists_other_layers_in_fp32():
    read_back = compare(
        [layer("a", "fp16"), layer("b", "fp32"), layer("kept", "fp32")], weak(a=9, b=1)
    )
    assert read_back.passed
    assert read_back.fp32_layers == ("b",)
    assert read_back.fp16_share == 0.9


@pytest.mark.parametrize(("macs_of_a", "passed"), [(50, True), (49, False)])
def test_less_than_half_of_the_macs_in_fp16_is_a_downgrade(macs_of_a, passed):
    asked = weak(a=macs_of_a, b=100 - macs_of_a)
    read_back = compare([layer("a", "fp16"), layer("b", "fp32")], asked)
    assert read_back.passed is passed
    if not passed:
        assert read_back.downgrades[0].reason.startswith("49% of the multiply-accumulates")


def test_fp32_engines_need_no_fp16():
    asked = Asked({"a": "fp32"}, {"a": 5}, strongly_typed=False)
    assert compare([layer("a", "fp32")], asked).passed
    assert not compare([layer("a", "fp16")], asked).passed


def test_int8_comes_from_the_graph_and_is_not_compared():
    assert compare([layer("a", "int8")], STRONG).passed


def test_what_is_not_told_is_not_verified():
    names = compare([Layer("a"), Layer("b")], STRONG)
    assert not names.verified
    assert "--profiling-verbosity detailed" in names.why
    foreign = compare([layer("fused_by_someone", "fp16")], STRONG)
    assert not foreign.verified
    assert "none of the graph's nodes" in foreign.why


def on_dla(*names):
    """An engine whose DLA part is between copies, as published profiles of Orin show it."""
    text = {
        "Layers": [
            {"Name": "x to nvm", "LayerType": "Reformat"},
            {"Name": "{ForeignNode[a...b]}", "LayerType": "?"},
            {"Name": "y from nvm", "LayerType": "Reformat"},
            *({"Name": name, "LayerType": "CaskConvolution"} for name in names),
        ]
    }
    return parse_layers(json.dumps(text))


def dla(*, gpu_fallback):
    types = {"a": "fp16", "b": "fp16", "c": "fp16"}
    return Asked(types, {}, strongly_typed=True, dla=True, gpu_fallback=gpu_fallback)


def test_layers_that_fall_back_to_the_gpu():
    assert compare(on_dla(), dla(gpu_fallback=False)).passed
    refused = compare(on_dla("c"), dla(gpu_fallback=False))
    assert [(d.layer, d.asked, d.got) for d in refused.downgrades] == [("c", "DLA", "GPU")]
    allowed = compare(on_dla("c"), dla(gpu_fallback=True))
    assert allowed.passed
    assert allowed.gpu_layers == ("c",)


def test_an_engine_without_any_layer_on_the_dla_is_a_downgrade():
    read_back = compare([layer("a", "fp16"), layer("b", "fp16")], dla(gpu_fallback=True))
    assert [downgrade.reason for downgrade in read_back.downgrades] == ["no layer runs on the DLA"]
    assert compare([layer("a", "fp16", kind="DLA", on_dla=True)], dla(gpu_fallback=False)).passed
