"""The command line of trtexec, TensorRT's own program, for each of its versions.

Options were read from ``samples/common/sampleOptions.cpp`` of each release of NVIDIA/TensorRT.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from edgeup.errors import EdgeupError
from edgeup.runtime.engine.request import BuildOptions, Shape

Version = tuple[int, int]
"""Major and minor of TensorRT."""

USUAL_PATH = "/usr/src/tensorrt/bin/trtexec"
"""Where JetPack and NVIDIA's Debian packages put it."""


@dataclass(frozen=True)
class Files:
    """What trtexec reads and writes; a path is None where nothing is wanted."""

    onnx: PurePath
    engine: PurePath
    layers: PurePath | None = None
    timing_cache: PurePath | None = None


def build_arguments(options: BuildOptions, version: Version, files: Files) -> list[str]:
    """The arguments, without the program, that build an engine and run nothing.

    Raises:
        EdgeupError: this version's trtexec cannot do what an option asks.
    """
    return [
        f"--onnx={files.onnx}",
        f"--saveEngine={files.engine}",
        *_precision(options, version),
        *_shapes(options),
        *_device(options, version),
        *_tactics(options, version),
        *_telling(options, version, files),
        # 8.5 and older: --buildOnly; 8.6 has both; 10.0 dropped the old name.
        "--skipInference" if version >= (8, 6) else "--buildOnly",
    ]


def command_line(program: str, arguments: Sequence[str]) -> str:
    """As a shell takes it."""
    return shlex.join([program, *arguments])


def _precision(options: BuildOptions, version: Version) -> list[str]:
    tf32 = [] if options.tf32 else ["--noTF32"]
    if options.strongly_typed:
        if version < (10, 0):
            raise _lacks(version, "strongly typed networks", "10.0")
        # 11 knows nothing else, and calls the option a no-op.
        return [*(["--stronglyTyped"] if version < (11, 0) else []), *tf32]
    if version >= (11, 0):
        raise EdgeupError("trtexec of TensorRT 11 is strongly typed; precision is in the graph")
    if not options.fp16:
        return tf32
    return ["--fp16", *_kept_fp32(options.keep_fp32, version), *tf32]


def _kept_fp32(names: Sequence[str], version: Version) -> list[str]:
    if not names:
        return []
    if version < (8, 4):
        raise EdgeupError(
            f"trtexec of TensorRT {_text(version)} cannot keep single layers in fp32 "
            f"({', '.join(names[:3])}{' and others' if len(names) > 3 else ''} must stay so); "
            f"build with --precision fp32, or with TensorRT's Python bindings (--using tensorrt)"
        )
    spec = ",".join(f"{_quoted(name)}:fp32" for name in names)
    return [
        "--precisionConstraints=obey",
        f"--layerPrecisions={spec}",
        f"--layerOutputTypes={spec}",
    ]


def _shapes(options: BuildOptions) -> list[str]:
    if not options.shapes:
        return []

    def spec(shapes: Sequence[tuple[str, Shape]]) -> str:
        return ",".join(f"{_quoted(name)}:{'x'.join(map(str, shape))}" for name, shape in shapes)

    return [
        f"--minShapes={spec([(r.name, r.least) for r in options.shapes])}",
        f"--optShapes={spec([(r.name, r.usual) for r in options.shapes])}",
        f"--maxShapes={spec([(r.name, r.most) for r in options.shapes])}",
    ]


def _device(options: BuildOptions, version: Version) -> list[str]:
    if options.compute_capabilities:
        raise EdgeupError(
            "--compute-capability is of TensorRT for RTX alone: trtexec builds for the GPU that "
            "it runs on; leave it out"
        )
    arguments = []
    if options.dla_core is not None:
        arguments.append(f"--useDLACore={options.dla_core}")
        if options.gpu_fallback:
            arguments.append("--allowGPUFallback")
    if options.portable and version < (8, 6):
        raise _lacks(version, "version- or hardware-compatible engines", "8.6")
    if options.version_compatible:
        arguments.append("--versionCompatible")
    if options.hardware_compatibility is not None:
        if options.hardware_compatibility != "ampere+" and version < (10, 9):
            raise _lacks(version, "hardware compatibility by compute capability", "10.9")
        arguments.append(f"--hardwareCompatibilityLevel={options.hardware_compatibility}")
    return arguments


def _tactics(options: BuildOptions, version: Version) -> list[str]:
    arguments = []
    if options.workspace is not None:
        mib = options.workspace >> 20  # both spellings count in MiB
        arguments.append(
            f"--memPoolSize=workspace:{mib}" if version >= (8, 4) else f"--workspace={mib}"
        )
    if options.optimization_level is not None:
        if version < (8, 6):
            raise _lacks(version, "builder optimization level", "8.6")
        arguments.append(f"--builderOptimizationLevel={options.optimization_level}")
    if options.sparse_weights:
        arguments.append("--sparsity=enable")
    return arguments


def _telling(options: BuildOptions, version: Version, files: Files) -> list[str]:
    arguments = []
    if version >= (8, 2):
        arguments.append(f"--profilingVerbosity={options.profiling_verbosity}")
        if files.layers is not None:
            arguments.append(f"--exportLayerInfo={files.layers}")
    else:
        words = {"layer_names_only": "default", "detailed": "verbose", "none": "none"}
        arguments.append(f"--nvtxMode={words[options.profiling_verbosity]}")
    if files.timing_cache is not None:
        arguments.append(f"--timingCacheFile={files.timing_cache}")
    return arguments


def _quoted(name: str) -> str:
    """A name in a ``name:value,name:value`` list; quotes let it hold a colon, nothing a comma."""
    if "," in name or "'" in name:
        raise EdgeupError(
            f"trtexec cannot be told of {name!r}: it splits such lists at commas and quotes; "
            f"rename it, or build with TensorRT's Python bindings (--using tensorrt)"
        )
    return f"'{name}'" if ":" in name else name


def _lacks(version: Version, what: str, first: str) -> EdgeupError:
    return EdgeupError(
        f"trtexec of TensorRT {_text(version)} has no {what}; {first} is the first that has; "
        f"leave the option out"
    )


def _text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
