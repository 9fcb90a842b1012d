"""The few operations an index needs, on a folder and on a remote store alike."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from vitrine.index.store import Store
from vitrine.runtime.errors import ConfigError, StoreUnavailable


@pytest.fixture(params=["folder", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store.open(str(tmp_path / "root")) if request.param == "folder" else Store(MemoryStore(), None)


def test_what_was_created_can_be_read(store: Store) -> None:
    assert store.create("a/b/c.json", b"contents")

    assert store.get("a/b/c.json") == b"contents"


def test_what_exists_is_never_overwritten(store: Store) -> None:
    store.create("a", b"first")

    assert not store.create("a", b"second")
    assert store.get("a") == b"first"


def test_an_empty_object_exists(store: Store) -> None:
    store.create("a", b"")

    assert (store.get("a"), store.exists("a")) == (b"", True)


def test_what_was_not_created_is_not_there(store: Store) -> None:
    assert (store.get("a/b"), store.exists("a/b")) == (None, False)


def test_a_downloaded_object_is_a_file_and_its_digest_is_known(store: Store, tmp_path: Path) -> None:
    store.create("a/b", b"contents" * 1_000_000)

    digest = store.download("a/b", tmp_path / "copy")

    assert digest == hashlib.sha256((tmp_path / "copy").read_bytes()).hexdigest()
    assert (tmp_path / "copy").read_bytes() == b"contents" * 1_000_000


def test_what_is_not_there_is_not_downloaded(store: Store, tmp_path: Path) -> None:
    assert store.download("a/b", tmp_path / "copy") is None
    assert not (tmp_path / "copy").exists()


def test_a_download_that_has_no_place_to_go_is_not_the_stores_fault(store: Store, tmp_path: Path) -> None:
    store.create("a", b"x")

    with pytest.raises(FileNotFoundError):
        store.download("a", tmp_path / "nowhere" / "copy")


def test_requests_are_counted_by_operation(store: Store, tmp_path: Path) -> None:
    store.create("p/a", b"x")
    store.get("p/a")
    store.download("p/a", tmp_path / "copy")
    store.exists("p/a")
    store.names("p")
    store.delete(["p/a"])

    assert store.requests == {"put": 1, "get": 2, "head": 1, "list": 1, "delete": 1}


def test_threads_lose_no_count(store: Store) -> None:
    threads = [threading.Thread(target=lambda: [store.exists("a") for _ in range(50)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert store.requests["head"] == 400


def test_names_are_those_directly_below(store: Store) -> None:
    for key in ("p/1.json", "p/2.json", "p/deeper/3.json", "q/4.json", "p1"):
        store.create(key, b"x")

    assert sorted(store.names("p")) == ["1.json", "2.json"]


def test_folders_are_those_directly_below(store: Store) -> None:
    for key in ("p/1.json", "p/one/3.json", "p/two/deeper/4.json", "q/5.json"):
        store.create(key, b"x")

    assert sorted(store.folders("p")) == ["one", "two"]


def test_a_place_where_nothing_is_has_no_names(store: Store) -> None:
    assert (store.names("nowhere"), store.folders("nowhere")) == ([], [])


def test_what_was_deleted_is_gone(store: Store) -> None:
    store.create("a", b"x")

    store.delete(["a", "never-there"])

    assert not store.exists("a")


def test_a_deleted_folder_is_gone_with_all_its_files(store: Store) -> None:
    for name in ("shard.json", "rows.arrow"):
        store.create(f"shards/s1/{name}", b"x")
    store.create("shards/s2/shard.json", b"x")

    store.delete_folder("shards/s1", first="shard.json")

    assert store.folders("shards") == ["s2"]


def test_of_eight_writers_at_once_exactly_one_creates(store: Store) -> None:
    for number in range(20):
        start, won = threading.Barrier(8), list[int]()

        def write(writer: int, number: int = number, start: threading.Barrier = start, won: list[int] = won) -> None:
            start.wait()
            if store.create(f"manifests/{number}", b"%d" % writer * 1000):
                won.append(writer)

        threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(won) == 1
        assert store.get(f"manifests/{number}") == b"%d" % won[0] * 1000


def test_an_adopted_folder_has_moved(store: Store, tmp_path: Path) -> None:
    built = tmp_path / "built"
    built.mkdir()
    for name in ("a.npy", "shard.json", "z.arrow"):
        (built / name).write_bytes(name.encode())

    store.adopt_folder(built, "shards/s1", last="shard.json")

    assert sorted(store.names("shards/s1")) == ["a.npy", "shard.json", "z.arrow"]
    assert store.get("shards/s1/z.arrow") == b"z.arrow"
    assert not built.exists()


def test_the_file_that_readers_look_for_comes_last(tmp_path: Path) -> None:
    moved: list[str] = []

    class Recording(Store):
        def _move(self, source: Path, target: Path, names: list[str]) -> None:
            moved.extend(names)

    root, built = tmp_path / "root", tmp_path / "built"
    root.mkdir()
    built.mkdir()
    for name in ("z.arrow", "shard.json", "a.npy"):
        (built / name).touch()

    Recording(MemoryStore(), root).adopt_folder(built, "s", last="shard.json")

    assert moved == ["a.npy", "z.arrow", "shard.json"]


def test_a_folder_store_is_read_in_place(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    store.create("a/b", b"x")

    path = store.local_path("a/b")

    assert path is not None
    assert path.read_bytes() == b"x"


def test_a_remote_store_has_no_place_on_this_machine() -> None:
    store = Store(MemoryStore(), None)

    assert (store.local_path("a"), store.scratch_parent()) == (None, None)


def test_a_folder_that_is_absent_is_made(tmp_path: Path) -> None:
    Store.open(str(tmp_path / "new" / "deep"))

    assert (tmp_path / "new" / "deep").is_dir()


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    Store.open(f"file://{tmp_path}/root").create("a", b"x")

    assert (tmp_path / "root" / "a").read_bytes() == b"x"


def test_opening_leaves_nothing_behind(tmp_path: Path) -> None:
    Store.open(str(tmp_path))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["{file}", "{file}/below", "file://{file}", "nonsense://bucket", "s3://"])
def test_a_place_that_cannot_be_written_names_the_setting(tmp_path: Path, url: str) -> None:
    file = tmp_path / "file"
    file.touch()

    with pytest.raises(ConfigError) as caught:
        Store.open(url.format(file=file))

    assert caught.value.field == "store"


def test_a_failing_store_is_unavailable_not_empty(tmp_path: Path) -> None:
    store = Store.open(str(tmp_path))
    (tmp_path / "a").write_bytes(b"x")

    with pytest.raises(StoreUnavailable, match="cannot create"):
        store.create("a/below", b"x")
