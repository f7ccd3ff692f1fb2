"""Resources that lie in a tree, as publications and transfers leave them."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

from common.metadata import Metadata
from common.resource_directory import directory, locked
from common.resource_files import digest_of, new_name, write_synced
from common.resource_path import ResourcePath
from common.resource_tree import install


def metadata_of(content: bytes, copyright: str = "public") -> Metadata:
    """Metadata that fit a content."""
    return Metadata("A", "smith:msu", copyright, length=len(content), digest=digest_of(BytesIO(content)))


def put_resource(
    root: Path, name: str, content: bytes, *, copyright: str = "public", copy_of: str = "", new_version: bool = False
) -> Metadata:
    """Put a resource into the tree at `root`."""
    path = ResourcePath.parse(name)
    with directory(root, path, create=True) as at, locked(at, exclusive=True):
        unnamed = new_name(path)
        write_synced(at, unnamed, content)
        metadata = metadata_of(content, copyright)
        return install(at, path, unnamed, metadata, copy_of=copy_of, new_version=new_version)
