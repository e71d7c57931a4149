"""FastDepth by name, by preset or by the file of its weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgeup.errors import EdgeupError, unknown
from edgeup.files import sha256_of
from edgeup.models.catalog import (
    PRESETS,
    FastDepthConfig,
    check_input_size,
    default_decoder,
    validate,
)
from edgeup.pipeline.subject import Subject, example_arrays, require_torch
from edgeup.presets import PRESETS as PREPROCESS
from edgeup.spec import TensorSpec

RANDOM_WEIGHTS = (
    "weights are random (seed {seed}): the output means nothing; parity, latency, operators "
    "and sizes mean what they would with trained ones"
)


@dataclass(frozen=True)
class FastDepthChoice:
    """What a user said of a FastDepth network; None where they said nothing."""

    preset: str | None = None
    encoder: str | None = None
    decoder: str | None = None
    skip: str | None = None
    weights: Path | None = None
    seed: int = 0


def configure(choice: FastDepthChoice) -> FastDepthConfig:
    """The network that a choice without weights names.

    Raises:
        EdgeupError: an unknown name, a combination without wiring, or a preset that the other
            options contradict.
    """
    if choice.preset is not None:
        if choice.preset not in PRESETS:
            raise unknown("preset", choice.preset, PRESETS)
        config = PRESETS[choice.preset]
        _agree(choice, config, f"preset {choice.preset}")
        return config
    encoder = choice.encoder or "mobilenet"
    skip = choice.skip or "none"
    config = FastDepthConfig(encoder, choice.decoder or default_decoder(encoder, skip), skip)
    validate(config)
    return config


def fastdepth_subject(choice: FastDepthChoice, image: TensorSpec) -> Subject:
    """Build the network, with weights from a file or random ones.

    Raises:
        EdgeupError: names that do not fit, an input size that the decoder does not come back
            to, or a file of weights that cannot be read or does not fit.
        MissingPackageError: torch is not installed.
    """
    _check_image(image)
    if choice.weights is None:
        config = configure(choice)
        require_torch("exporting a PyTorch model")
        return _with_random_weights(config, image, choice.seed)
    require_torch("reading PyTorch weights")
    return _with_weights(choice, choice.weights, image)


def _check_image(image: TensorSpec) -> None:
    _, channels, height, width = image.static_shape
    if channels != 3:
        raise EdgeupError(f"FastDepth takes 3 channels (RGB), got {channels} in {image}")
    check_input_size(height, width)


def _with_random_weights(config: FastDepthConfig, image: TensorSpec, seed: int) -> Subject:
    from edgeup.models.fastdepth import build
    from edgeup.models.initialise import initialise
    from edgeup.models.run import half_the_cores

    module = build(config)
    with half_the_cores():
        initialise(module, seed, example_arrays([image], seed))
    return _subject(
        config,
        module,
        image,
        {"source": "random", "seed": seed},
        (RANDOM_WEIGHTS.format(seed=seed),),
    )


def _with_weights(choice: FastDepthChoice, path: Path, image: TensorSpec) -> Subject:
    from edgeup.models.fastdepth import build
    from edgeup.models.weights.checkpoint import read_checkpoint
    from edgeup.models.weights.loading import load_state
    from edgeup.models.weights.recognition import recognise

    checkpoint = read_checkpoint(path)
    try:
        recognised = recognise(checkpoint, decoder=choice.decoder)
    except EdgeupError as error:
        raise EdgeupError(f"{path}: {error}") from error
    config = recognised.config
    _agree(choice, config, str(path))
    if choice.preset is not None and configure(choice) != config:
        raise EdgeupError(
            f"--preset {choice.preset} contradicts {path}, which is {config.name}; "
            f"leave --preset out"
        )
    module = build(config)
    load_state(module, checkpoint.state, path)
    weights = {
        "source": "file",
        "path": str(path),
        "sha256": sha256_of(path),
        "kind": checkpoint.kind,
    }
    return _subject(config, module, image, weights, (*checkpoint.notes, *recognised.notes))


def _agree(choice: FastDepthChoice, config: FastDepthConfig, holder: str) -> None:
    for option in ("encoder", "decoder", "skip"):
        said, held = getattr(choice, option), getattr(config, option)
        if said is not None and said != held:
            raise EdgeupError(
                f"--{option} {said} contradicts {holder}, which is {option} {held}; "
                f"leave --{option} out"
            )


def _subject(
    config: FastDepthConfig,
    module: Any,
    image: TensorSpec,
    weights: dict[str, Any],
    notices: tuple[str, ...],
) -> Subject:
    from edgeup.models.cost import macs, parameters

    module.eval()
    image = replace(image, name=image.name or "image")
    _, _, height, width = image.static_shape
    skip = "" if config.skip == "none" else f", skip {config.skip}"
    facts = {
        "decoder": config.decoder,
        "encoder": config.encoder,
        "skip": config.skip,
        "parameters": parameters(module),
        "macs": macs(module, [image.static_shape]),
        "weights": weights,
    }
    return Subject(
        name=config.name,
        description=f"FastDepth: {config.encoder} encoder, {config.decoder} decoder{skip}",
        module=module,
        inputs=(image,),
        output_names=("depth",),
        facts=facts,
        notices=notices,
        spatial_multiple=32,
        preprocess=replace(PREPROCESS["fastdepth"], size=(height, width)),
        unit="m",
        decoder="decoder" if config.skip == "none" else "decode_conv1",
    )
