"""What is kept is bounded, and never keeps alive what it was made from."""

from __future__ import annotations

from vitrine.shards.weak_cache import Key, WeakCache

KB = 1024
# An entry is counted as a little more than its value.
TWO_ENTRIES = 25 * KB
VALUE_BYTES = 10 * KB


class Owner:
    pass


def test_a_value_is_found_under_its_owners_and_name() -> None:
    cache, left, right = WeakCache(TWO_ENTRIES), Owner(), Owner()

    cache.put(Key.of("name", left, right), "value", VALUE_BYTES)

    assert cache.get(Key.of("name", left, right)) == "value"
    for other in (Key.of("other", left, right), Key.of("name", right, left), Key.of("name", left)):
        assert cache.get(other) is None


def test_the_least_recently_used_value_is_given_up() -> None:
    cache, owner = WeakCache(TWO_ENTRIES), Owner()
    for name in "ab":
        cache.put(Key.of(name, owner), name, VALUE_BYTES)
    cache.get(Key.of("a", owner))

    cache.put(Key.of("c", owner), "c", VALUE_BYTES)

    assert [cache.get(Key.of(name, owner)) for name in "abc"] == ["a", None, "c"]


def test_it_never_holds_more_than_its_bound() -> None:
    cache, owner = WeakCache(TWO_ENTRIES), Owner()

    for number in range(100):
        cache.put(Key.of(number, owner), number, number * 100)
        assert cache.size_bytes <= cache.bound_bytes


def test_small_values_count_too() -> None:
    cache, owner = WeakCache(TWO_ENTRIES), Owner()

    for number in range(1_000):
        cache.put(Key.of(number, owner), True, 0)

    assert sum(cache.get(Key.of(number, owner)) is not None for number in range(1_000)) < 100


def test_a_value_too_big_to_be_kept_pushes_out_no_other() -> None:
    cache, owner = WeakCache(TWO_ENTRIES), Owner()
    cache.put(Key.of("small", owner), "small", VALUE_BYTES)

    assert cache.put(Key.of("big", owner), "big", TWO_ENTRIES) == "big"

    assert (cache.get(Key.of("small", owner)), cache.get(Key.of("big", owner))) == ("small", None)


def test_a_value_that_grows_pushes_out_others() -> None:
    cache, owner = WeakCache(TWO_ENTRIES), Owner()
    first, second = Key.of("a", owner), Key.of("b", owner)
    cache.put(first, object(), VALUE_BYTES)
    cache.put(second, value := object(), VALUE_BYTES)

    cache.grow(second, value, VALUE_BYTES)

    assert (cache.get(first), cache.get(second)) == (None, value)


def test_a_value_no_longer_kept_may_grow() -> None:
    cache, owner = WeakCache(TWO_ENTRIES), Owner()
    cache.put(Key.of("a", owner), first := object(), TWO_ENTRIES)
    cache.put(Key.of("a", owner), second := object(), VALUE_BYTES)
    before = cache.size_bytes

    cache.grow(Key.of("a", owner), first, VALUE_BYTES)

    assert (cache.size_bytes, cache.get(Key.of("a", owner))) == (before, second)


def test_of_two_values_put_at_once_the_first_is_kept() -> None:
    cache, owner = WeakCache(TWO_ENTRIES), Owner()

    kept = [cache.put(Key.of("a", owner), number, VALUE_BYTES) for number in (1, 2)]

    assert kept == [1, 1]
    assert cache.size_bytes < 2 * VALUE_BYTES


def test_a_value_goes_with_the_first_of_its_owners() -> None:
    cache, stays, goes = WeakCache(TWO_ENTRIES), Owner(), Owner()
    cache.put(Key.of("one", stays), 1, VALUE_BYTES)
    alone = cache.size_bytes
    cache.put(Key.of("both", stays, goes), 2, VALUE_BYTES)

    del goes

    assert cache.size_bytes == alone
    assert cache.get(Key.of("one", stays)) == 1


def test_nothing_is_left_when_all_owners_are_gone() -> None:
    cache, owners = WeakCache(TWO_ENTRIES), [Owner() for _ in range(4)]
    for left in owners:
        for right in owners:
            cache.put(Key.of("pair", left, right), 0, 0)
            cache.put(Key.of("large", left, right), 0, VALUE_BYTES)

    owners.clear()
    del left, right

    assert cache.size_bytes == 0
    assert (len(cache._entries), len(cache._keys_of)) == (0, 0)
