"""Page tokens: they come back as they were, and nothing else passes for one."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.paging import KEY_BYTES, Place, place_of, token_of
from vitrine.runtime.errors import InvalidArgument

KEY = bytes(range(KEY_BYTES))
PLACE = Place(10, 0.5, "shoe-1", b"\x01\x02" * 8)

PLACES = st.builds(
    Place,
    skipped=st.integers(1, 999),
    score=st.floats(-1, 1, width=32),
    product_id=st.text(min_size=1, max_size=40),
    vector=st.binary(max_size=64),
)


@given(PLACES)
def test_a_place_comes_back_as_it_was(place: Place) -> None:
    assert place_of(token_of(place, KEY), KEY) == place


def test_another_querys_token_is_told_from_a_damaged_one() -> None:
    with pytest.raises(InvalidArgument, match=r"^page_token: belongs to another query"):
        place_of(token_of(PLACE, KEY), KEY[::-1])


@given(st.integers(0, len(token_of(PLACE, KEY)) - 1), st.sampled_from("AZaz09-_"))
def test_a_changed_character_is_damage(place: int, character: str) -> None:
    token = token_of(PLACE, KEY)
    changed = token[:place] + character + token[place + 1 :]
    if _data(changed) == _data(token):
        return
    with pytest.raises(InvalidArgument, match=r"^page_token: is damaged"):
        place_of(changed, KEY)


@pytest.mark.parametrize("length", range(len(token_of(PLACE, KEY))))
def test_a_token_cut_short_is_damage(length: int) -> None:
    with pytest.raises(InvalidArgument, match=r"^page_token: is damaged"):
        place_of(token_of(PLACE, KEY)[:length], KEY)


@pytest.mark.parametrize("token", ["nonsense", "=", "a", "ÄÖ", " ", token_of(PLACE, KEY) + "!", "\0" * 40])
def test_what_never_was_a_token_is_damage(token: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^page_token: is damaged"):
        place_of(token, KEY)


@pytest.mark.parametrize("place", [PLACE._replace(skipped=0), PLACE._replace(score=float("nan"))])
def test_a_place_that_cannot_be_is_damage(place: Place) -> None:
    with pytest.raises(InvalidArgument, match=r"^page_token: is damaged"):
        place_of(token_of(place, KEY), KEY)


def _data(token: str) -> bytes:
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
