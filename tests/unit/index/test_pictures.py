"""Pictures are stored once each, by their hash."""

from __future__ import annotations

import hashlib

import pytest
from obstore.store import MemoryStore

from vitrine.index.pictures import Pictures
from vitrine.index.store import Store


@pytest.fixture
def store() -> Store:
    return Store(MemoryStore(), None)


@pytest.fixture
def pictures(store: Store) -> Pictures:
    return Pictures(store, "shop")


def test_a_picture_comes_back_by_its_sha256(pictures: Pictures) -> None:
    sha256 = pictures.put(b"pixels")

    assert sha256 == hashlib.sha256(b"pixels").digest()
    assert pictures.get(sha256) == b"pixels"


def test_the_same_picture_is_stored_once(store: Store, pictures: Pictures) -> None:
    assert pictures.put(b"pixels") == pictures.put(b"pixels")
    assert len(store.names("shop/images")) == 1


def test_a_thumbnail_lies_apart_from_its_picture(pictures: Pictures) -> None:
    sha256 = pictures.put(b"pixels")
    pictures.put_thumbnail(sha256, b"webp")

    assert (pictures.get(sha256), pictures.get_thumbnail(sha256)) == (b"pixels", b"webp")


def test_what_was_never_put_is_absent(pictures: Pictures) -> None:
    nobody = bytes(32)

    assert (pictures.get(nobody), pictures.get_thumbnail(nobody), pictures.has_thumbnail(nobody)) == (None, None, False)


def test_indexes_do_not_share_pictures(store: Store, pictures: Pictures) -> None:
    sha256 = pictures.put(b"pixels")

    assert Pictures(store, "other").get(sha256) is None
