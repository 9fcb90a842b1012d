"""One object store behind every URL (a folder, s3://, gs://, az://), with the few operations an index needs."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, from_url

from vitrine.runtime.errors import ConfigError, StoreUnavailable


class Store:
    """Keys are slash-separated paths below the root. Every failure of the store itself is StoreUnavailable."""

    def __init__(self, backend: obstore.store.ObjectStore, folder: Path | None) -> None:
        self._backend = backend
        self._folder = folder

    @staticmethod
    def open(url: str) -> Store:
        """`url`: a folder (made if absent), file://, s3://, gs:// or az://. Raises ConfigError (field `store`)."""
        scheme = urlsplit(url).scheme
        if scheme in ("", "file"):
            folder = Path(urlsplit(url).path if scheme else url).absolute()
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
            except OSError as error:
                raise ConfigError("store", f"{folder} is not a writable folder ({error.strerror})") from error
            return Store(LocalStore(folder), folder)
        try:
            return Store(from_url(url), None)
        except (BaseError, ValueError) as error:
            raise ConfigError("store", f"{url}: {_one_line(error)}") from error

    def create(self, key: str, data: bytes) -> bool:
        """Writes `key` only if it is absent. False: it was there already."""
        with _translated(f"create {key}"):
            try:
                obstore.put(self._backend, key, data, mode="create")
            except AlreadyExistsError:
                return False
        self._sync(key)
        return True

    def get(self, key: str) -> bytes | None:
        """The object's bytes, or None if there is none."""
        with _translated(f"read {key}"):
            try:
                return bytes(obstore.get(self._backend, key).bytes())
            except FileNotFoundError:
                return None

    def exists(self, key: str) -> bool:
        with _translated(f"look for {key}"):
            try:
                obstore.head(self._backend, key)
            except FileNotFoundError:
                return False
        return True

    def names(self, prefix: str) -> list[str]:
        """Last path segments of the objects directly below `prefix`."""
        return list(self.modified_s(prefix))

    def modified_s(self, prefix: str) -> dict[str, float]:
        """When each object directly below `prefix` was written, by the store's clock: seconds since 1970."""
        with _translated(f"list {prefix}"):
            listed = obstore.list_with_delimiter(self._backend, prefix)["objects"]
            return {meta["path"].rsplit("/", 1)[1]: meta["last_modified"].timestamp() for meta in listed}

    def folders(self, prefix: str) -> list[str]:
        """Last path segments of the folders directly below `prefix`."""
        with _translated(f"list {prefix}"):
            listed = obstore.list_with_delimiter(self._backend, prefix)["common_prefixes"]
            return [path.rsplit("/", 1)[1] for path in listed]

    def delete(self, keys: Sequence[str]) -> None:
        """Removes objects; those that are gone already do not matter."""
        with _translated(f"delete {len(keys)} objects"):
            for key in keys:
                with suppress(FileNotFoundError):
                    obstore.delete(self._backend, key)

    def delete_folder(self, prefix: str, first: str) -> None:
        """Removes everything below `prefix`, `first` first: without it nobody takes what is left for whole."""
        self.delete([f"{prefix}/{name}" for name in sorted(self.names(prefix), key=lambda name: name != first)])
        if self._folder is not None:
            shutil.rmtree(self._folder / prefix, ignore_errors=True)

    def local_path(self, key: str) -> Path | None:
        """Where the object lies on this machine's disk, or None for a remote store."""
        return self._folder / key if self._folder else None

    def scratch_parent(self) -> Path | None:
        """A folder on the same file system as the store, for files that will be adopted; None for a remote store."""
        if self._folder is None:
            return None
        scratch = self._folder / ".scratch"
        scratch.mkdir(exist_ok=True)
        return scratch

    def adopt_folder(self, source: Path, prefix: str, last: str) -> None:
        """Moves the files of `source` below `prefix`, each durable before `last` (the one readers look for) appears."""
        names = sorted((path.name for path in source.iterdir()), key=lambda name: (name == last, name))
        with _translated(f"write {prefix}"):
            if self._folder is None:
                for name in names:
                    obstore.put(self._backend, f"{prefix}/{name}", source / name)
            else:
                self._move(source, self._folder / prefix, names)
        shutil.rmtree(source, ignore_errors=True)

    def _move(self, source: Path, target: Path, names: list[str]) -> None:
        target.mkdir(parents=True, exist_ok=True)
        for name in names:
            _fsync(source / name)
            shutil.move(source / name, target / name)
        for folder in (target, target.parent):
            _fsync(folder)

    def _sync(self, key: str) -> None:
        """Makes a created object and its name survive a power cut; object stores do that by themselves."""
        if self._folder is not None:
            path = self._folder / key
            with _translated(f"sync {key}"):
                _fsync(path)
                _fsync(path.parent)


@contextmanager
def _translated(action: str) -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        raise StoreUnavailable(f"store: cannot {action}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    """obstore's errors end in a dump of several lines; the first says what is wrong."""
    return str(error).strip().splitlines()[0] if str(error).strip() else repr(error)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
