"""Pairs of products → groups of them."""

from __future__ import annotations

from typing import NamedTuple


class Member(NamedTuple):
    """A product of a group, and its image that is most like one of another product of it. `score`: how like."""

    product_id: str
    image_id: str
    score: float


class Groups:
    """Products joined by pairs: who is joined to one of a group is in it.

    Union-find with path halving (Tarjan and van Leeuwen, Worst-case analysis of set union algorithms, J. ACM 1984).
    """

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}
        self._best: dict[str, tuple[float, str]] = {}

    def join(self, product_id: str, other_id: str) -> None:
        root, other = self._root(product_id), self._root(other_id)
        if root != other:
            self._parents[other] = root

    def note(self, product_id: str, image_id: str, score: float) -> None:
        """An image of a product is that much like one of another product of its group. The best one stays."""
        if (known := self._best.get(product_id)) is None or score > known[0]:
            self._best[product_id] = (score, image_id)

    def listed(self) -> list[list[Member]]:
        """The groups, the largest first, then by the first product; members by product."""
        members: dict[str, list[Member]] = {}
        for product_id in sorted(self._parents):
            score, image_id = self._best[product_id]
            members.setdefault(self._root(product_id), []).append(Member(product_id, image_id, score))
        return sorted(members.values(), key=lambda group: (-len(group), group[0].product_id))

    def _root(self, product_id: str) -> str:
        parents = self._parents
        parent = parents.setdefault(product_id, product_id)
        while parent != product_id:
            parents[product_id] = product_id = parents[parent]
            parent = parents[product_id]
        return product_id
