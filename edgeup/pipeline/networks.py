"""The networks of the literature by name, with random weights or those of a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgeup.errors import EdgeupError
from edgeup.files import sha256_of
from edgeup.models.networks import build_network, check_network_input, find_network
from edgeup.pipeline.fastdepth import RANDOM_WEIGHTS
from edgeup.pipeline.subject import Subject, example_arrays, require_torch
from edgeup.spec import TensorSpec

if TYPE_CHECKING:
    from torch import nn

    from edgeup.models.network_types import Network


@dataclass(frozen=True)
class NetworkChoice:
    """What a user said of a network; None where they said nothing."""

    name: str
    decoder: str | None = None
    encoder: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    weights: Path | None = None
    seed: int = 0


def network_subject(choice: NetworkChoice, shape: TensorSpec | None) -> Subject:
    """Build a network; ``shape`` is None for its published input.

    Raises:
        EdgeupError: a name, value or shape that does not fit, or weights that do not.
        MissingPackageError: torch is not installed.
    """
    network = find_network(choice.name)
    settings = network.settings(choice.decoder, choice.encoder, choice.options)
    spec = _input(network, shape)
    check_network_input(
        choice.name,
        spec.static_shape,
        decoder=choice.decoder,
        encoder=choice.encoder,
        options=choice.options,
    )
    require_torch("exporting a PyTorch model")
    from edgeup.models.cost import macs, parameters

    module = build_network(
        choice.name, decoder=choice.decoder, encoder=choice.encoder, options=choice.options
    )
    weights, notices = _give_weights(module, choice, spec)
    named = [str(settings[key]) for key in ("encoder", "decoder") if key in settings]
    return Subject(
        name="-".join([choice.name, *(str(v) for v in (choice.encoder, choice.decoder) if v)]),
        description=f"{network.title}{''.join(f', {name}' for name in named)}",
        module=module,
        inputs=(spec,),
        output_names=network.output_names,
        facts={
            "decoder": settings.get("decoder"),
            "encoder": settings.get("encoder"),
            "parameters": parameters(module),
            "macs": macs(module, [spec.static_shape]),
            "weights": weights,
        },
        notices=notices,
        spatial_multiple=_multiple(choice, spec),
    )


def _input(network: Network, shape: TensorSpec | None) -> TensorSpec:
    if shape is None:
        return TensorSpec(network.input_name, network.input_shape)
    if shape.dtype != "float32":
        raise EdgeupError(f"--shape {shape}: {network.name} takes float32, not {shape.dtype}")
    return TensorSpec(shape.name or network.input_name, shape.shape)


def _give_weights(
    module: nn.Module, choice: NetworkChoice, spec: TensorSpec
) -> tuple[dict[str, object], tuple[str, ...]]:
    path = choice.weights
    if path is None:
        from edgeup.models.initialise import initialise
        from edgeup.models.run import half_the_cores

        with half_the_cores():
            initialise(module, choice.seed, example_arrays([spec], choice.seed))
        notice = RANDOM_WEIGHTS.format(seed=choice.seed)
        return {"source": "random", "seed": choice.seed}, (notice,)
    notes = _load_file(module, path)
    facts: dict[str, object] = {
        "source": "file",
        "path": str(path),
        "sha256": sha256_of(path),
    }
    return facts, notes


def _load_file(module: nn.Module, path: Path) -> tuple[str, ...]:
    """A state dict for any network; for FCRN also the authors' NumPy dictionary."""
    if path.suffix == ".npy":
        from edgeup.models.fcrn import Fcrn
        from edgeup.models.fcrn_weights import load_published
        from edgeup.models.weights.numpy_layers import read_numpy_layers

        if not isinstance(module, Fcrn):
            raise EdgeupError(f"{path}: layers in a .npy file are FCRN's; give a state dict")
        load_published(module, read_numpy_layers(path))
        return ()
    from edgeup.models.weights.checkpoint import read_checkpoint
    from edgeup.models.weights.loading import load_state

    checkpoint = read_checkpoint(path)
    load_state(module, checkpoint.state, path)
    return checkpoint.notes


def _multiple(choice: NetworkChoice, spec: TensorSpec) -> int:
    """The least power of two by which an image may grow, for dimensions that are left open."""
    if len(spec.shape) != 4:
        return 1
    batch, channels, height, width = spec.static_shape
    for step in (1, 2, 4, 8, 16, 32, 64):
        try:
            check_network_input(
                choice.name,
                (batch, channels, height + step, width + step),
                decoder=choice.decoder,
                encoder=choice.encoder,
                options=choice.options,
            )
        except EdgeupError:
            continue
        return step
    return 1
