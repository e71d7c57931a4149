"""Every network of the catalogue exports, and ONNX Runtime computes what PyTorch computes."""

import pytest

from edgeup.models.networks import NETWORKS
from edgeup.pipeline.export import ExportRequest, ProvenModel, export_subject
from edgeup.pipeline.networks import NetworkChoice, network_subject
from edgeup.spec import TensorSpec
from edgeup.targets import find_target

# Small inputs and widths: what is proven is the wiring and the operators, which do not change.
CASES = {
    "fastdepth": ((1, 3, 32, 64), {}, {"Clip": 27}),
    "fcrn": ((1, 3, 64, 96), {"width": "0.0625"}, {"DepthToSpace": 8}),
    "fcn8s": ((1, 3, 48, 64), {"width": "0.0625"}, {"ConvTranspose": 3, "Add": 2}),
    "fcn16s": ((1, 3, 48, 64), {"width": "0.0625"}, {"ConvTranspose": 2, "Add": 1}),
    "fcn32s": ((1, 3, 48, 64), {"width": "0.0625"}, {"ConvTranspose": 1}),
    "unet": ((1, 1, 188, 188), {"width": "0.0625"}, {"ConvTranspose": 4, "Concat": 4}),
    "segnet": ((1, 3, 45, 60), {"width": "0.125"}, {"MaxPool": 5, "MaxUnpool": 5}),
    "deconvnet": ((1, 3, 224, 224), {"width": "0.03125"}, {"MaxPool": 5, "MaxUnpool": 5}),
    "monodepth": ((1, 3, 64, 64), {"width": "0.125"}, {"Sigmoid": 4}),
    "zfnet": ((1, 3, 64, 64), {"width": "0.0625", "layer": "3"}, {"ConvTranspose": 3}),
    "dcgan": ((2, 100, 1, 1), {"width": "0.0625"}, {"ConvTranspose": 5, "Tanh": 1}),
    "dcgan5": ((2, 100), {"width": "0.0625"}, {"ConvTranspose": 4, "Tanh": 1}),
    "chairs": ((1, 825), {"width": "0.125"}, {}),
}


def prove(name: str, decoder: str | None = None, target: str = "jetpack-6.2") -> ProvenModel:
    encoder = None
    shape, options, _ = CASES[name]
    if name == "fcrn":
        encoder = "resnet18"
    choice = NetworkChoice(name, decoder=decoder, encoder=encoder, options=options)
    subject = network_subject(choice, TensorSpec("", shape))
    request = ExportRequest(target=find_target(target))
    return export_subject(subject, request, lambda stage: None)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_a_network_exports_with_parity(name: str) -> None:
    from edgeup.export.cost import nodes_by_operator

    proven = prove(name, target="cpu")
    assert [output.name for output in proven.parity] == list(NETWORKS[name].output_names)
    for output in proven.parity:
        assert output.passed, output.notes
        assert not output.vacuous
        assert output.metrics["cosine"] > 0.999
    nodes = nodes_by_operator(proven.exported.optimized.model)
    for operator, count in CASES[name][2].items():
        assert nodes.get(operator) == count, nodes


@pytest.mark.parametrize(
    ("name", "decoder"),
    [
        *(("fcrn", decoder) for decoder in ("fast-upconv", "upproj", "upconv", "deconv3")),
        ("unet", "nearest"),
        ("unet", "bilinear"),
    ],
)
def test_a_networks_other_decoders_export_with_parity(name: str, decoder: str) -> None:
    for output in prove(name, decoder).parity:
        assert output.passed
        assert not output.vacuous


@pytest.mark.parametrize("name", ["segnet", "deconvnet"])
def test_for_tensorrt_max_unpooling_becomes_what_it_takes(name: str) -> None:
    from edgeup.export.cost import nodes_by_operator

    proven = prove(name)
    assert all(output.passed and not output.vacuous for output in proven.parity)
    nodes = nodes_by_operator(proven.exported.optimized.model)
    assert "MaxUnpool" not in nodes
    for node in proven.exported.optimized.model.graph:
        assert node.op_type != "MaxPool" or len(node.outputs) == 1
