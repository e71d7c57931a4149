"""One picture through an ONNX model: preprocessing, run, drawing."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeup.errors import EdgeupError, unknown
from edgeup.files import check_goals, write_all
from edgeup.pipeline.model_files import model_files
from edgeup.pipeline.picture_input import as_input, load_feeds, picture_input
from edgeup.pipeline.stored import Stored, read_stored
from edgeup.pipeline.verified import Stage
from edgeup.preprocess import Preprocess
from edgeup.presets import PRESETS, PreprocessChoice
from edgeup.runtime.drawing import Drawing, Drawn, draw, png_bytes
from edgeup.runtime.images import Picture, load_picture
from edgeup.spec import Array, TensorSpec

if TYPE_CHECKING:
    from edgeup.runtime.ort_session import OnnxRuntimeSession

ENGINE_SUFFIXES = (".engine", ".plan", ".trt")


@dataclass(frozen=True)
class RunRequest:
    """What to run, and what to write.

    Attributes:
        model: an ONNX file.
        picture: a picture's file.
        preprocess: what the user said; None takes what is stored in the model.
        input_name: the input that takes the picture; needed where there are several.
        feeds: .npy files of the other inputs, by name.
        output_name: the output to draw and save; the first by default.
        drawing: how to draw it.
        draw_to: a .png, or None.
        save_raw: a .npy, or None.
        threads: of ONNX Runtime; None takes all cores.
    """

    model: Path
    picture: Path
    preprocess: PreprocessChoice | None = None
    input_name: str | None = None
    feeds: Mapping[str, Path] = field(default_factory=dict)
    output_name: str | None = None
    drawing: Drawing = field(default_factory=Drawing)
    draw_to: Path | None = None
    save_raw: Path | None = None
    threads: int | None = None


def run_picture(request: RunRequest, stage: Stage) -> dict[str, Any]:
    """Run, write what was asked for (all of it or nothing), and say what was done.

    Raises:
        EdgeupError: a file that cannot be read or written, preprocessing that is not known or does
            not fit the model, a model that does not take one picture, an output that cannot be
            drawn.
        MissingPackageError: Pillow, or matplotlib for a coloured map, is not installed.
    """
    from edgeup.runtime.ort_session import OnnxRuntimeSession

    _check_paths(request)
    stored = read_stored(request.model)
    preprocess, source = _choose(request, stored)
    stage("reading the picture")
    picture = load_picture(request.picture)
    stage("loading the model")
    with OnnxRuntimeSession(request.model, threads=request.threads) as session:
        spec = picture_input(session.inputs, request.input_name, request.feeds)
        output = _output(session, request.output_name)
        array = as_input(picture.pixels, preprocess, spec)
        stage("running the model")
        values = session.run({**load_feeds(request.feeds), spec.name: array})[output.name]
    drawn = _drawn(request, preprocess, values)
    _write(request, values, drawn)
    return {
        "model": {"path": str(request.model)},
        "image": _picture_facts(request.picture, picture),
        "preprocess": {
            "source": source,
            "description": str(preprocess),
            **preprocess.as_dict(),
        },
        "input": {"name": spec.name, **statistics(array)},
        "output": {
            "name": output.name,
            **statistics(values),
            "unit": stored.unit if output == session.outputs[0] else None,
        },
        "drawn": None if drawn is None else drawn.facts,
        "files": {
            "drawn": None if request.draw_to is None else str(request.draw_to),
            "raw": None if request.save_raw is None else str(request.save_raw),
        },
        "notices": _notices(stored, picture, values, drawn),
    }


def statistics(values: Array) -> dict[str, Any]:
    """Shape, dtype, and least, greatest and mean of the finite values (null without any)."""
    finite = values[np.isfinite(values)].astype(np.float64)
    some = finite.size > 0
    return {
        "shape": list(values.shape),
        "dtype": values.dtype.name,
        "elements": values.size,
        "finite": finite.size,
        "min": float(finite.min()) if some else None,
        "max": float(finite.max()) if some else None,
        "mean": float(finite.mean()) if some else None,
    }


def _check_paths(request: RunRequest) -> None:
    if request.model.suffix.lower() in ENGINE_SUFFIXES:
        raise EdgeupError(f"{request.model} is a TensorRT engine, and run takes an ONNX file")
    goals = {"-o": (request.draw_to, ".png"), "--save-raw": (request.save_raw, ".npy")}
    for option, (path, suffix) in goals.items():
        if path is not None and path.suffix.lower() != suffix:
            raise EdgeupError(f"{option} {path}: wanted a name that ends in {suffix}")
    read = model_files(request.model, others=(request.picture, *request.feeds.values()))
    check_goals((request.draw_to, request.save_raw), read)


def _choose(request: RunRequest, stored: Stored) -> tuple[Preprocess, str]:
    """The preprocessing, and where it came from: "metadata" or "option"."""
    if request.preprocess is not None:
        return request.preprocess.resolve(stored.preprocess), "option"
    if stored.preprocess is not None:
        try:
            return Preprocess.from_json(stored.preprocess), "metadata"
        except EdgeupError as error:
            raise EdgeupError(f"{request.model}: {error}; say it with --preprocess") from error
    raise EdgeupError(
        f"{request.model} does not say how its pictures are prepared: say it with --preprocess, "
        f"one of {', '.join(PRESETS)}, or key=value,... (scale=1/255,mean=...,std=...)"
    )


def _output(session: OnnxRuntimeSession, name: str | None) -> TensorSpec:
    outputs = {spec.name: spec for spec in session.outputs}
    if not outputs:
        raise EdgeupError("the model has no outputs")
    if name is not None and name not in outputs:
        raise unknown("output", name, outputs)
    output = session.outputs[0] if name is None else outputs[name]
    if output.dtype == "string":
        raise EdgeupError(f"output {output} holds strings: there is nothing to draw or save")
    return output


def _drawn(request: RunRequest, preprocess: Preprocess, values: Array) -> Drawn | None:
    if request.draw_to is None:
        return None
    return draw(
        values,
        request.drawing,
        channels_last=preprocess.layout == "nhwc",
        restore=preprocess.restore,
    )


def _write(request: RunRequest, values: Array, drawn: Drawn | None) -> None:
    contents: dict[Path, bytes] = {}
    if request.draw_to is not None and drawn is not None:
        contents[request.draw_to] = png_bytes(drawn.pixels)
    if request.save_raw is not None:
        stream = io.BytesIO()
        np.save(stream, values, allow_pickle=False)
        contents[request.save_raw] = stream.getvalue()
    write_all(contents)


def _picture_facts(path: Path, picture: Picture) -> dict[str, Any]:
    height, width = picture.pixels.shape[:2]
    return {
        "path": str(path),
        "format": picture.format,
        "mode": picture.mode,
        "height": height,
        "width": width,
    }


def _notices(stored: Stored, picture: Picture, values: Array, drawn: Drawn | None) -> list[str]:
    notices = [f"picture: {note}" for note in picture.notes]
    if stored.random_weights:
        notices.append("the model's weights are random: its output means nothing")
    if drawn is not None:
        notices += [f"output: {note}" for note in drawn.notes]
    elif bad := int(values.size - np.count_nonzero(np.isfinite(values))):
        notices.append(f"output: {bad:,} of {values.size:,} values are NaN or infinite")
    return notices
