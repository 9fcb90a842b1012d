"""Files that appear whole or not at all, and the folders they are in."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

from vitrine.runtime.errors import VitrineError


class NotSaved(VitrineError):
    """A file or a folder could not be written. What was there before is untouched."""


def make_folder(folder: Path) -> None:
    """Makes `folder` and those above it, as far as they are missing. Raises NotSaved."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NotSaved(f"the folder {folder} cannot be made: {error.strerror or error}") from error


def save_bytes(path: Path, data: bytes | memoryview) -> None:
    """Writes a file beside `path`, makes sure that it is on disk, and only then gives it that name.

    Raises NotSaved, saying how many bytes are needed.
    """
    beside = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        kept = "; the former one is untouched" if path.exists() else ""
        reason = error.strerror or str(error)
        raise NotSaved(f"{path} cannot be saved, which needs {len(data):,} bytes: {reason}{kept}") from error
    finally:
        beside.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Makes the new name itself survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
