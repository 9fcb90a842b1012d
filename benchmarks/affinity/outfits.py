"""Simulated outfits: which products of a labelled catalogue imaginary shoppers wear together.

There are no real outfits in the data set, so these follow a rule (docs/affinity.md says it in words). It uses labels
that a vector holds only in part (brand, gender and usage), and colours that go together instead of the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

# What an outfit is made of: one thing of each of some roles.
ROLES: Final = {
    "top": ("Topwear", "Dress"),
    "bottom": ("Bottomwear",),
    "feet": ("Shoes", "Sandal", "Flip Flops"),
    "bag": ("Bags",),
    "watch": ("Watches",),
    "belt": ("Belts",),
    "eyes": ("Eyewear",),
    "jewel": ("Jewellery",),
    "socks": ("Socks",),
    "wallet": ("Wallets",),
}
# Families of colours, and the families that go with each: mostly not its own.
FAMILIES: Final = {
    "black": ("Black", "Charcoal"),
    "white": ("White", "Off White", "Cream"),
    "grey": ("Grey", "Grey Melange", "Silver", "Steel", "Metallic"),
    "blue": ("Blue", "Navy Blue", "Turquoise Blue", "Teal"),
    "red": ("Red", "Maroon", "Burgundy", "Rust"),
    "brown": ("Brown", "Tan", "Coffee Brown", "Bronze", "Copper", "Mushroom Brown"),
    "beige": ("Beige", "Khaki", "Nude", "Skin", "Taupe"),
    "green": ("Green", "Olive", "Sea Green", "Lime Green", "Fluorescent Green"),
    "yellow": ("Yellow", "Mustard", "Gold"),
    "pink": ("Pink", "Peach", "Rose", "Magenta"),
    "purple": ("Purple", "Lavender", "Mauve"),
    "orange": ("Orange",),
}
COMPANIONS: Final = {
    "black": ("white", "red", "grey"),
    "white": ("blue", "black", "red"),
    "grey": ("black", "pink", "purple"),
    "blue": ("brown", "beige", "white"),
    "red": ("black", "white", "beige"),
    "brown": ("blue", "beige", "green"),
    "beige": ("brown", "blue", "green"),
    "green": ("brown", "beige", "white"),
    "yellow": ("blue", "grey", "white"),
    "pink": ("grey", "white", "blue"),
    "purple": ("grey", "white", "black"),
    "orange": ("blue", "brown", "white"),
}
MOST_COMPANIONS: Final = 3
LOYAL: Final = 0.7
CARELESS: Final = 0.15

_GENDERS: Final = {
    "men": ("men", "mens", "man"),
    "women": ("women", "womens", "woman", "ladies"),
    "kids": ("kids", "kid", "boys", "boy", "girls", "girl", "infant"),
}
_OF_GENDER: Final = {word: gender for gender, words in _GENDERS.items() for word in words}
_FAMILY_OF: Final = {colour: family for family, colours in FAMILIES.items() for colour in colours}
_ROLE_OF: Final = {subcategory: role for role, subcategories in ROLES.items() for subcategory in subcategories}
_BRAND_WORDS: Final = 2

Places = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Labels:
    """What the rule goes by, a str each of n products; "" where it is not known."""

    product_ids: Sequence[str]
    roles: npt.NDArray[np.str_]
    colours: npt.NDArray[np.str_]
    genders: npt.NDArray[np.str_]
    brands: npt.NDArray[np.str_]
    usages: npt.NDArray[np.str_]
    splits: npt.NDArray[np.str_]

    @staticmethod
    def of(table: pa.Table) -> Labels:
        """From the columns product_id, title, subcategory, colour, usage and split."""
        columns = {name: [cell or "" for cell in table[name].to_pylist()] for name in table.column_names}
        told = [_told(title) for title in columns["title"]]
        return Labels(
            columns["product_id"],
            np.array([_ROLE_OF.get(name, "") for name in columns["subcategory"]]),
            np.array([_FAMILY_OF.get(name, "") for name in columns["colour"]]),
            np.array([gender for gender, _ in told]),
            np.array([brand for _, brand in told]),
            np.array(columns["usage"]),
            np.array(columns["split"]),
        )


def suits(labels: Labels, start: int, others: Places) -> npt.NDArray[np.bool_]:
    """Which of `others` an outfit that begins with `start` may hold: same people, same use, a colour that goes."""
    people = labels.genders[others] == labels.genders[start]
    use = labels.usages[others] == labels.usages[start]
    fits: npt.NDArray[np.bool_] = people & use & np.isin(labels.colours[others], COMPANIONS[str(labels.colours[start])])
    return fits


def beginnings(labels: Labels) -> Places:
    """Products that an outfit may begin with: those of which all is known that the rule goes by."""
    return np.flatnonzero((labels.roles != "") & (labels.colours != "") & (labels.genders != ""))


def simulated(labels: Labels, outfits: int, seed: int) -> pa.Table:
    """product_id, other_product_id and split: each companion beside what the shopper chose first."""
    random = np.random.default_rng(seed)
    pools: dict[tuple[str, str, str], Places] = {}
    pairs = []
    for start in random.choice(beginnings(labels), outfits).tolist():
        others = [role for role in ROLES if role != labels.roles[start]]
        for role in random.permutation(others)[: random.integers(1, MOST_COMPANIONS + 1)].tolist():
            key = (role, str(labels.genders[start]), str(labels.splits[start]))
            if key not in pools:
                pools[key] = _pool(labels, *key)
            companion = _chosen(labels, start, pools[key], random)
            if companion is not None:
                pairs.append((labels.product_ids[start], labels.product_ids[companion], labels.splits[start]))
    return pa.Table.from_pydict(
        dict(zip(("product_id", "other_product_id", "split"), map(list, zip(*pairs, strict=True)), strict=True))
    )


def _pool(labels: Labels, role: str, gender: str, split: str) -> Places:
    """Products of a role for a gender, within a split: nothing of one split is ever seen beside another's."""
    return np.flatnonzero((labels.roles == role) & (labels.genders == gender) & (labels.splits == split))


def _chosen(labels: Labels, start: int, pool: Places, random: np.random.Generator) -> int | None:
    """Anything now and then; else what suits in usage and colour, and mostly of the same brand if there is such."""
    if random.random() >= CARELESS:
        pool = pool[suits(labels, start, pool)]
        of_brand = pool[labels.brands[pool] == labels.brands[start]]
        if len(of_brand) and random.random() < LOYAL:
            pool = of_brand
    return int(random.choice(pool)) if len(pool) else None


def _told(title: str) -> tuple[str, str]:
    """Gender and brand: the words of a title before the one that says whom it is for."""
    words = re.findall(r"[a-z]+", title.lower().replace("'s", "s"))
    for place, word in enumerate(words):
        if word in _OF_GENDER:
            return _OF_GENDER[word], " ".join(words[: min(place, _BRAND_WORDS)])
    return "", " ".join(words[:1])
