"""A file of nodes that stay float32: what `edgeup verify --find-fp32-nodes` writes, and
`--keep-fp32` reads.

Text, one node a line, by its ONNX name; what follows a tab is a remark. Lines that start with #
are remarks too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from edgeup.errors import EdgeupError

_MOST_BYTES = 16 << 20


def keep_list_text(nodes: Mapping[str, str], remarks: Iterable[str] = ()) -> str:
    """The file's content: nodes with their reasons, under remarks on where they come from.

    Raises:
        EdgeupError: a node's name holds a tab or a line break, which the file cannot say.
    """
    for name in nodes:
        if not name or any(c in name for c in "\t\r\n") or name.startswith("#"):
            raise EdgeupError(f"the node name {name!r} cannot stand in a list; rename the node")
    lines = [f"# {' '.join(remark.split())}" for remark in remarks]
    lines += [f"{name}\t{' '.join(reason.split())}".rstrip("\t") for name, reason in nodes.items()]
    return "".join(line + "\n" for line in lines)


def read_keep_list(path: Path) -> frozenset[str]:
    """The nodes of a file.

    Raises:
        EdgeupError: there is no such file, or it is no text.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise EdgeupError(f"{path} is too large for a list of nodes: one name a line is wanted")
        text = path.read_text("utf-8")
    except OSError as error:
        raise EdgeupError(f"list of nodes {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise EdgeupError(f"{path} is no text; wanted one node name a line") from error
    names = (line.partition("\t")[0] for line in text.split("\n") if not line.startswith("#"))
    return frozenset(name.rstrip("\r") for name in names if name.strip())
