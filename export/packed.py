"""A model as files: one, or one beside its weights where protobuf's 2 GiB do not hold them.

The weights are never all in memory: they are written tensor by tensor, those that lie in a file
straight from there.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from edgeup.errors import EdgeupError
from edgeup.export import serialize
from edgeup.export.tensors import with_tensors
from edgeup.files import Content
from edgeup.spec import ModelSource

if TYPE_CHECKING:
    import onnx_ir as ir

_LEAST = 4096
"""Smaller tensors stay in the graph: shapes, axes and scales, which shape inference reads."""

_ALIGNMENT = 4096
"""A page: readers map each tensor into memory where it stands."""


@dataclass(frozen=True)
class Packed:
    """A serialized model.

    Attributes:
        content: of the ``.onnx`` file.
        data_name: of the file beside it that ``content`` names; empty where all is inside.
        weights: what is in that file, in order, by offset.
    """

    content: bytes
    data_name: str = ""
    weights: tuple[tuple[int, ir.TensorProtocol], ...] = ()

    @property
    def data_bytes(self) -> int:
        """The size of the file of weights."""
        return max((offset + tensor.nbytes for offset, tensor in self.weights), default=0)

    def files(self, path: Path) -> dict[Path, Content]:
        """What to write so that the model is at ``path``; the weights first."""
        data = {path.with_name(self.data_name): self.write_data} if self.data_name else {}
        return {**data, path: self.content}

    def write_data(self, stream: IO[bytes]) -> None:
        """Write the file of weights."""
        import onnx_ir as ir

        end = 0
        for offset, tensor in self.weights:
            stream.write(bytes(offset - end))
            if isinstance(tensor, ir.ExternalTensor):
                tensor.tofile(stream)  # from file to file inside the kernel, where it can
            else:
                stream.write(tensor.tobytes())
            end = offset + tensor.nbytes

    @contextmanager
    def loadable(self) -> Iterator[ModelSource]:
        """What a session loads: bytes, or a file that is there until the block ends.

        Raises:
            EdgeupError: the disk of temporary files (TMPDIR) has no room for the weights.
        """
        if not self.data_name:
            yield self.content
            return
        with tempfile.TemporaryDirectory(prefix="edgeup-") as folder:
            path = Path(folder) / "model.onnx"
            try:
                path.write_bytes(self.content)
                with path.with_name(self.data_name).open("wb") as stream:
                    self.write_data(stream)
            except OSError as error:
                raise EdgeupError(
                    f"{self.data_bytes:,} bytes of weights do not fit under {folder} "
                    f"({error.strerror or error}); name another folder with TMPDIR"
                ) from error
            yield path

    def data_sha256(self) -> str:
        """Of the file of weights."""
        digest = hashlib.sha256()
        end = 0
        for offset, tensor in self.weights:
            digest.update(bytes(offset - end))
            digest.update(tensor.tobytes())
            end = offset + tensor.nbytes
        return digest.hexdigest()


def pack(model: ir.Model, data_name: str) -> Packed:
    """Serialize; weights go to ``data_name`` where they do not fit inside.

    Raises:
        EdgeupError: the graph without its weights is over 2 GiB.
    """
    if serialize.weight_bytes(model) <= serialize.SIZE_LIMIT * 99 // 100:  # the rest is the graph
        return Packed(serialize.to_bytes(model))
    weights: list[tuple[int, ir.TensorProtocol]] = []
    end = 0

    def outside(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
        nonlocal end
        import onnx_ir as ir

        if tensor.nbytes < _LEAST:
            return tensor
        offset = -(-end // _ALIGNMENT) * _ALIGNMENT
        end = offset + tensor.nbytes
        weights.append((offset, tensor))
        shape = ir.Shape(tensor.shape.numpy())
        return ir.ExternalTensor(
            data_name, offset, tensor.nbytes, tensor.dtype, shape=shape, name=tensor.name or ""
        )

    content = serialize.graph_bytes(with_tensors(model, outside))
    return Packed(content, data_name, tuple(weights))


def loadable(model: ir.Model) -> AbstractContextManager[ModelSource]:
    """What a session loads: bytes, or a file that is there until the block ends."""
    return pack(model, "model.onnx.data").loadable()
