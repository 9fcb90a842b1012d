"""One object store behind every URL (a folder, s3://, gs://, az://), with the few operations an index needs.

A remote store's endpoint, region and credentials come from the environment of the process, which obstore reads
(AWS_ENDPOINT_URL, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and so on; likewise for gs:// and az://).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, from_url

from vitrine.runtime import failpoints
from vitrine.runtime.errors import ConfigError, StoreUnavailable

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

# A call is over within 10 s, answered or not, since a partition waits for it: no request is begun after 5 s, and none
# takes longer than 4, so that one which hangs is tried again. (A create that hangs is not: it may have written.)
_REQUEST_TIMEOUT: Final = timedelta(seconds=4)
_RETRY: Final[RetryConfig] = {
    "max_retries": 10,
    "retry_timeout": timedelta(seconds=5),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=1)},
}
# allow_http: whether to speak it is said by the endpoint's own URL; without one, every store is asked over https.
_CALLS: Final[ClientConfig] = {"allow_http": True, "connect_timeout": timedelta(seconds=2), "timeout": _REQUEST_TIMEOUT}
# A shard's file may take as long as it is big, so here only standing still is bounded: 4 s without a byte of a
# download, or for one part of an upload.
_TRANSFERS: Final[ClientConfig] = {
    "allow_http": True,
    "connect_timeout": timedelta(seconds=2),
    "timeout": timedelta(hours=1),
    "read_timeout": _REQUEST_TIMEOUT,
}
# Bigger files go up in parts, so that a shard is never in memory whole: at most 4 × 8 MiB of it.
_PART_BYTES: Final = 8 << 20
_PARTS_AT_ONCE: Final = 4
_BLOCK_BYTES: Final = 1 << 20
_LISTED_AT_ONCE: Final = 1000


class Store:
    """Keys are slash-separated paths below the root. Every failure of the store itself is StoreUnavailable.

    `requests` counts what was asked of the store, as it is billed, by operation: get, put, head, list, delete.
    """

    def __init__(
        self,
        backend: obstore.store.ObjectStore,
        folder: Path | None,
        transfers: obstore.store.ObjectStore | None = None,
    ) -> None:
        """`transfers`: the same store, for what is too big for the time a call may take."""
        self.requests: Counter[str] = Counter()
        self._backend = backend
        self._folder = folder
        self._transfers = transfers or backend
        self._counting = threading.Lock()

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
            calls = from_url(url, client_options=_CALLS, retry_config=_RETRY)
            return Store(calls, None, from_url(url, client_options=_TRANSFERS, retry_config=_RETRY))
        except (BaseError, ValueError) as error:
            raise ConfigError("store", f"{url}: {_one_line(error)}") from error

    def require_reachable(self) -> None:
        """For a start: raises ConfigError (field `store`) where nothing can be read, so that it is known at once."""
        self._count("list")
        try:
            with _translated("be listed"):
                obstore.list_with_delimiter(self._backend)
        except StoreUnavailable as error:
            raise ConfigError("store", str(error).removeprefix("store: ")) from error

    def create(self, key: str, data: bytes) -> bool:
        """Writes `key` only if it is absent. False: it was there already."""
        self._count("put")
        with _translated(f"create {key}"):
            try:
                obstore.put(self._backend, key, data, mode="create")
            except AlreadyExistsError:
                return False
        self._sync(key)
        return True

    def get(self, key: str) -> bytes | None:
        """The object's bytes, or None if there is none."""
        self._count("get")
        with _translated(f"read {key}"):
            try:
                return bytes(obstore.get(self._backend, key).bytes())
            except FileNotFoundError:
                return None

    def download(self, key: str, target: Path) -> str | None:
        """Copies an object into a new file, never all of it in memory. Returns its sha256, or None if there is none.

        Raises StoreUnavailable, and OSError where `target` cannot be written.
        """
        self._count("get")
        with _translated(f"read {key}"):
            try:
                blocks = iter(obstore.get(self._transfers, key).stream(_BLOCK_BYTES))
            except FileNotFoundError:
                return None
        sha256 = hashlib.sha256()
        with target.open("xb") as file:
            while block := self._next_block(key, blocks):
                sha256.update(block)
                file.write(block)
        return sha256.hexdigest()

    def exists(self, key: str) -> bool:
        self._count("head")
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
            self._count("list", 1 + max(0, len(listed) - 1) // _LISTED_AT_ONCE)
            return {meta["path"].rsplit("/", 1)[1]: meta["last_modified"].timestamp() for meta in listed}

    def folders(self, prefix: str) -> list[str]:
        """Last path segments of the folders directly below `prefix`."""
        with _translated(f"list {prefix}"):
            listed = obstore.list_with_delimiter(self._backend, prefix)["common_prefixes"]
            self._count("list", 1 + max(0, len(listed) - 1) // _LISTED_AT_ONCE)
            return [path.rsplit("/", 1)[1] for path in listed]

    def delete(self, keys: Sequence[str]) -> None:
        """Removes objects; those that are gone already do not matter."""
        self._count("delete", len(keys))
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

    def adopt_folder(self, source: Path, prefix: str, last: str, keep: bool = False) -> None:
        """Moves the files of `source` below `prefix`, each durable before `last` (the one readers look for) appears.

        `keep`: a remote store leaves `source` where it is.
        """
        names = sorted((path.name for path in source.iterdir()), key=lambda name: (name == last, name))
        with _translated(f"write {prefix}"):
            if self._folder is None:
                for name in names:
                    with failpoints.step("write"):
                        self._upload(source / name, f"{prefix}/{name}")
            else:
                self._move(source, self._folder / prefix, names)
        if self._folder is not None or not keep:
            shutil.rmtree(source, ignore_errors=True)

    def _upload(self, file: Path, key: str) -> None:
        parts = -(-file.stat().st_size // _PART_BYTES)
        self._count("put", parts + 2 if parts > 1 else 1)
        obstore.put(self._transfers, key, file, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)

    def _next_block(self, key: str, blocks: Iterator[bytes]) -> bytes | None:
        with _translated(f"read {key}"):
            return next(blocks, None)

    def _count(self, operation: str, requests: int = 1) -> None:
        with self._counting:
            self.requests[operation] += requests

    def _move(self, source: Path, target: Path, names: list[str]) -> None:
        target.mkdir(parents=True, exist_ok=True)
        for name in names:
            with failpoints.step("write"):
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
