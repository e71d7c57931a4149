"""What a model's file says of its use: ONNX metadata, written at export and read at a run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeup.errors import EdgeupError
from edgeup.preprocess import PREPROCESS_KEY

if TYPE_CHECKING:
    from edgeup.pipeline.subject import Subject

UNIT_KEY = "edgeup.unit"
WEIGHTS_KEY = "edgeup.weights"
RANDOM = "random"


@dataclass(frozen=True)
class Stored:
    """The metadata of a model that matters to a run.

    Attributes:
        preprocess: JSON, not yet checked; None where the file says nothing.
        unit: of the first output.
        random_weights: the model was exported without trained weights.
    """

    preprocess: str | None = None
    unit: str | None = None
    random_weights: bool = False


def metadata_of(subject: Subject) -> dict[str, str]:
    """What is stored with an exported subject."""
    said = {}
    if subject.preprocess is not None:
        said[PREPROCESS_KEY] = subject.preprocess.to_json()
    if subject.unit is not None:
        said[UNIT_KEY] = subject.unit
    if subject.facts.get("weights", {}).get("source") == RANDOM:
        said[WEIGHTS_KEY] = RANDOM
    return said


def read_stored(path: Path) -> Stored:
    """Read the metadata of an ONNX file, not its external data.

    Raises:
        EdgeupError: no such file, not an ONNX model, or one key that is there twice.
    """
    import onnx
    from google.protobuf.message import (  # type: ignore[import-untyped]  # stubs lie elsewhere
        DecodeError,
    )

    if not path.is_file():
        raise EdgeupError(f"model {path} {'is a folder' if path.is_dir() else 'does not exist'}")
    try:
        model = onnx.load_model_from_string(path.read_bytes())
    except DecodeError as error:
        raise EdgeupError(f"{path} is not an ONNX model: it does not parse as one") from error
    said: dict[str, str] = {}
    for entry in model.metadata_props:
        if entry.key.startswith("edgeup.") and entry.key in said:
            raise EdgeupError(f"{path}: the metadata {entry.key} is there twice; which one holds?")
        said[entry.key] = entry.value
    unit = said.get(UNIT_KEY)
    return Stored(
        preprocess=said.get(PREPROCESS_KEY),
        # It is printed: nothing but a short unit passes.
        unit=unit if unit is not None and re.fullmatch(r"[\w/^%°·-]{1,16}", unit) else None,
        random_weights=said.get(WEIGHTS_KEY) == RANDOM,
    )
