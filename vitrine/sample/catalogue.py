"""What the sample shop sells: nine categories, their articles, and a catalogue of any length."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from vitrine.sample.look import SampleProduct

CATEGORIES: Final = (
    "Topwear",
    "Shoes",
    "Bags",
    "Bottomwear",
    "Watches",
    "Innerwear",
    "Jewellery",
    "Eyewear",
    "Socks",
)

BRANDS: Final = (
    "Alder",
    "Finchley",
    "Harrow Lane",
    "Lumen",
    "Marlow",
    "Northwick",
    "Oriel",
    "Quill",
    "Sable",
    "Tamsin",
)

Names: TypeAlias = tuple[str, ...]

_CLOTH: Final = (
    "Black", "White", "Grey", "Navy Blue", "Blue", "Red", "Green", "Yellow", "Pink", "Purple", "Brown", "Orange",
    "Beige", "Olive", "Maroon", "Teal",
)  # fmt: skip
_LEATHER: Final = ("Black", "Brown", "Beige", "Maroon", "Navy Blue", "Red", "Grey", "White", "Olive", "Orange", "Green")
_BRIGHT: Final = (
    "Black",
    "Red",
    "Blue",
    "Pink",
    "Beige",
    "Navy Blue",
    "Green",
    "Purple",
    "Yellow",
    "White",
    "Brown",
    "Teal",
)
_DENIM: Final = ("Blue", "Navy Blue", "Black", "Grey", "White", "Beige", "Olive", "Maroon")
_FORMAL: Final = ("Black", "Grey", "Navy Blue", "Beige", "Brown", "Olive", "White", "Maroon")
_METAL: Final = ("Silver", "Gold", "Rose Gold", "Bronze", "Black")
_GEMS: Final = (
    "Gold",
    "Silver",
    "Rose Gold",
    "Bronze",
    "Red",
    "Green",
    "Blue",
    "Purple",
    "Pink",
    "Teal",
    "Black",
    "White",
)
_FRAMES: Final = (
    "Black",
    "Brown",
    "Grey",
    "Navy Blue",
    "Red",
    "Orange",
    "Purple",
    "Green",
    "Blue",
    "Maroon",
    "Teal",
    "Pink",
)
_WIRES: Final = ("Gold", "Silver", "Rose Gold", "Bronze", "Black", "Grey", "Brown", "Navy Blue")
_SKIN: Final = (
    "Black",
    "White",
    "Grey",
    "Navy Blue",
    "Blue",
    "Red",
    "Pink",
    "Purple",
    "Beige",
    "Maroon",
    "Green",
    "Teal",
)

_PLAIN: Final = ("plain", "striped", "dotted", "floral", "checked")
_CANVAS: Final = ("plain", "striped", "checked", "dotted", "floral", "printed")
_MESH: Final = ("plain", "striped", "chevron", "colour block", "dotted")
_TOTES: Final = ("printed", "striped", "plain", "floral", "dotted", "colour block")
_PACKS: Final = ("plain", "printed", "colour block", "floral", "dotted", "chevron")
_EVENING: Final = ("plain", "striped", "dotted", "floral", "chevron", "checked")
_BLOUSES: Final = ("floral", "plain", "dotted", "striped", "chevron", "printed")
_CREW: Final = ("plain", "striped", "argyle", "dotted", "printed", "chevron")
_KNEE: Final = ("striped", "plain", "argyle", "dotted", "chevron", "floral")
_PRINTS: Final = ("plain", "striped", "printed", "checked", "dotted", "chevron", "floral", "colour block")
_SHIRTING: Final = ("checked", "pinstriped", "plain", "striped", "dotted", "floral")
_KNITS: Final = ("plain", "striped", "chevron", "argyle", "colour block", "dotted")


@dataclass(frozen=True)
class Article:
    """A kind of product: what it is called, what it costs, and the colours and patterns it comes in."""

    article_type: str
    noun: str
    cheapest: float
    dearest: float
    colours: Names
    patterns: Names = ("plain",)


ARTICLES: Final[dict[str, tuple[Article, ...]]] = {
    "Topwear": (
        Article("Tshirts", "T-shirt", 9, 30, _CLOTH, _PRINTS),
        Article("Shirts", "Shirt", 24, 70, _CLOTH, _SHIRTING),
        Article("Polos", "Polo Shirt", 18, 48, _CLOTH, ("plain", "striped", "colour block", "dotted", "printed")),
        Article("Sweatshirts", "Hooded Sweatshirt", 28, 75, _CLOTH, ("printed", "plain", "colour block", "striped")),
        Article("Sweaters", "V-neck Sweater", 32, 95, _CLOTH, _KNITS),
        Article("Jackets", "Bomber Jacket", 48, 150, _CLOTH, ("plain", "colour block", "checked", "printed")),
        Article("Tops", "Sleeveless Top", 14, 40, _CLOTH, _BLOUSES),
    ),
    "Shoes": (
        Article("Casual Shoes", "Canvas Sneakers", 25, 80, _CLOTH, _CANVAS),
        Article("Sports Shoes", "Running Shoes", 40, 140, _CLOTH, _MESH),
        Article("Formal Shoes", "Leather Shoes", 55, 180, _LEATHER),
        Article("Heels", "Heels", 35, 130, _BRIGHT, _PLAIN),
        Article("Boots", "Ankle Boots", 60, 190, _LEATHER),
        Article("Flats", "Ballerinas", 22, 70, _BRIGHT, _PLAIN),
        Article("Sandals", "Sandals", 18, 65, _BRIGHT),
    ),
    "Bags": (
        Article("Handbags", "Handbag", 40, 220, _BRIGHT, _PLAIN),
        Article("Totes", "Tote Bag", 18, 90, _CLOTH, _TOTES),
        Article("Backpacks", "Backpack", 28, 120, _CLOTH, _PACKS),
        Article("Clutches", "Clutch", 20, 95, _BRIGHT, _EVENING),
        Article("Messenger Bags", "Messenger Bag", 35, 130, _CLOTH, ("plain", "checked", "printed", "colour block")),
        Article("Duffel Bags", "Duffel Bag", 32, 140, _CLOTH, ("plain", "striped", "printed", "checked")),
    ),
    "Bottomwear": (
        Article("Jeans", "Jeans", 30, 110, _DENIM, ("washed", "plain", "ripped")),
        Article("Trousers", "Trousers", 32, 95, _FORMAL, ("plain", "pinstriped", "checked")),
        Article("Shorts", "Shorts", 15, 45, _CLOTH, ("plain", "checked", "striped", "floral", "dotted")),
        Article("Skirts", "Skirt", 18, 65, _CLOTH, _EVENING),
        Article("Track Pants", "Track Pants", 20, 60, _CLOTH, ("plain", "printed")),
        Article("Leggings", "Leggings", 10, 35, _CLOTH, ("plain", "floral", "striped", "chevron", "dotted")),
    ),
    "Watches": (
        Article("Leather Watches", "Leather Watch", 60, 240, _LEATHER, ("plain", "striped", "two tone")),
        Article("Steel Watches", "Steel Watch", 90, 420, _METAL, ("plain", "two tone", "studded")),
        Article("Chronographs", "Chronograph", 120, 480, _BRIGHT, ("plain", "two tone")),
        Article("Dress Watches", "Dress Watch", 70, 320, _BRIGHT, ("plain", "striped")),
        Article("Digital Watches", "Digital Watch", 25, 110, _BRIGHT, ("plain", "two tone", "striped")),
    ),
    "Innerwear": (
        Article("Briefs", "Briefs", 6, 20, _SKIN, ("plain", "striped", "dotted", "floral", "colour block")),
        Article("Trunks", "Trunks", 8, 24, _SKIN, ("plain", "striped", "dotted", "chevron", "checked")),
        Article("Boxers", "Boxers", 9, 26, _SKIN, ("checked", "striped", "dotted", "pinstriped", "floral", "plain")),
        Article("Bra", "Bra", 14, 48, _SKIN, ("plain", "dotted", "floral", "striped")),
        Article("Innerwear Vests", "Vest", 7, 20, _SKIN, ("plain", "striped", "colour block")),
        Article("Camisoles", "Camisole", 10, 32, _SKIN, ("plain", "floral", "dotted", "pinstriped")),
    ),
    "Jewellery": (
        Article("Necklaces", "Necklace", 25, 210, _GEMS, ("beaded", "studded", "plain")),
        Article("Pendants", "Pendant", 20, 180, _GEMS, ("plain", "studded")),
        Article("Earrings", "Earrings", 12, 150, _GEMS, ("studded", "plain", "beaded")),
        Article("Rings", "Ring", 30, 380, _GEMS, ("plain", "studded", "beaded")),
        Article("Bracelets", "Bracelet", 18, 160, _GEMS, ("beaded", "studded", "plain")),
        Article("Bangles", "Bangle", 15, 140, _GEMS, ("plain", "studded", "beaded")),
    ),
    "Eyewear": (
        Article("Wayfarers", "Wayfarer Sunglasses", 30, 140, _FRAMES, ("plain", "tortoise", "two tone")),
        Article("Aviators", "Aviator Sunglasses", 35, 160, _WIRES, ("plain", "two tone")),
        Article("Round Sunglasses", "Round Sunglasses", 28, 130, _FRAMES, ("plain", "tortoise", "two tone")),
        Article("Sports Sunglasses", "Sports Sunglasses", 30, 150, _FRAMES, ("plain", "two tone")),
        Article("Cat Eye Sunglasses", "Cat Eye Sunglasses", 26, 120, _FRAMES, ("plain", "tortoise", "two tone")),
        Article("Spectacles", "Spectacles", 40, 190, _FRAMES, ("plain", "tortoise", "two tone")),
    ),
    "Socks": (
        Article("Crew Socks", "Crew Socks", 4, 14, _CLOTH, _CREW),
        Article("Ankle Socks", "Ankle Socks", 3, 11, _CLOTH, ("plain", "striped", "dotted", "colour block")),
        Article("Knee Socks", "Knee Socks", 5, 18, _CLOTH, _KNEE),
    ),
}  # fmt: skip


def catalogue(products: int = 630, seed: int = 7) -> list[SampleProduct]:
    """A catalogue, its categories taken in turn. A longer one begins with the shorter one."""
    return [_product(number, seed) for number in range(products)]


def _product(number: int, seed: int) -> SampleProduct:
    category = CATEGORIES[number % len(CATEGORIES)]
    place = number // len(CATEGORIES)
    articles = ARTICLES[category]
    kind = place % len(articles)
    article = articles[kind]
    variants = _variants(category, kind, seed)
    colour, pattern = variants[place // len(articles) % len(variants)]
    dice = random.Random(f"{seed} product {number}")
    words = [dice.choice(BRANDS), colour, "" if pattern == "plain" else pattern.title(), article.noun]
    return SampleProduct(
        product_id=f"sample-{number + 1:04d}",
        title=" ".join(word for word in words if word),
        category=category,
        article_type=article.article_type,
        colour=colour,
        pattern=pattern,
        price=round(dice.uniform(article.cheapest, article.dearest)) - 0.05,
        seed=dice.randrange(2**31),
    )


@lru_cache(maxsize=256)
def _variants(category: str, kind: int, seed: int) -> tuple[tuple[str, str], ...]:
    """Every colour of an article in every pattern, shuffled: no combination returns before all have been sold."""
    article = ARTICLES[category][kind]
    variants = list(itertools.product(article.colours, article.patterns))
    random.Random(f"{seed} {article.article_type}").shuffle(variants)
    return tuple(variants)
