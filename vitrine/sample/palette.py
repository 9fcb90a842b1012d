"""Named colours, their tasteful companions, and the arithmetic of light and dark."""

from __future__ import annotations

from typing import Final, TypeAlias

RGB: TypeAlias = tuple[int, int, int]

WHITE: Final[RGB] = (250, 250, 249)
INK: Final[RGB] = (30, 30, 34)

COLOURS: Final[dict[str, RGB]] = {
    "Black": (42, 42, 46),
    "White": (243, 243, 241),
    "Grey": (146, 149, 154),
    "Navy Blue": (38, 50, 92),
    "Blue": (58, 112, 184),
    "Red": (194, 40, 48),
    "Green": (52, 124, 84),
    "Yellow": (238, 196, 66),
    "Pink": (232, 136, 164),
    "Purple": (116, 76, 148),
    "Brown": (116, 76, 52),
    "Orange": (228, 116, 54),
    "Beige": (216, 196, 164),
    "Olive": (108, 110, 66),
    "Maroon": (116, 34, 48),
    "Teal": (42, 132, 140),
    "Gold": (214, 172, 88),
    "Silver": (198, 202, 208),
    "Rose Gold": (220, 160, 138),
    "Bronze": (160, 112, 74),
}

_COMPANIONS: Final[dict[str, tuple[str, ...]]] = {
    "Black": ("White", "Grey", "Red", "Yellow"),
    "White": ("Navy Blue", "Red", "Black", "Teal", "Blue"),
    "Grey": ("Navy Blue", "White", "Black", "Orange"),
    "Navy Blue": ("White", "Red", "Beige", "Yellow"),
    "Blue": ("White", "Navy Blue", "Yellow"),
    "Red": ("White", "Navy Blue", "Black"),
    "Green": ("White", "Beige", "Navy Blue"),
    "Yellow": ("Navy Blue", "White", "Grey"),
    "Pink": ("White", "Maroon", "Grey"),
    "Purple": ("White", "Pink", "Grey"),
    "Brown": ("Beige", "White", "Orange"),
    "Orange": ("White", "Navy Blue", "Brown"),
    "Beige": ("Brown", "Navy Blue", "White", "Maroon"),
    "Olive": ("Beige", "Black", "Orange"),
    "Maroon": ("Beige", "White", "Pink"),
    "Teal": ("White", "Orange", "Navy Blue"),
    "Gold": ("Red", "Green", "White", "Navy Blue"),
    "Silver": ("Blue", "White", "Purple", "Black"),
    "Rose Gold": ("Pink", "White", "Purple"),
    "Bronze": ("Teal", "Orange", "Maroon"),
}


def companions(colour: str) -> tuple[str, ...]:
    """Names of colours that go with a colour."""
    return _COMPANIONS[colour]


def mixed(a: RGB, b: RGB, share: float) -> RGB:
    """`share` (0..1) of b in a."""
    return (
        round(a[0] + (b[0] - a[0]) * share),
        round(a[1] + (b[1] - a[1]) * share),
        round(a[2] + (b[2] - a[2]) * share),
    )


def darker(colour: RGB, share: float) -> RGB:
    """The colour moved towards black."""
    return mixed(colour, (14, 13, 16), share)


def lighter(colour: RGB, share: float) -> RGB:
    """The colour moved towards white."""
    return mixed(colour, (255, 255, 255), share)


def luma(colour: RGB) -> float:
    """Brightness as the eye sees it, 0..1 (Rec. 601)."""
    return (0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]) / 255


def contrasting(colour: RGB, share: float) -> RGB:
    """A seam's colour: darker on light cloth, lighter on dark cloth."""
    return darker(colour, share) if luma(colour) > 0.3 else lighter(colour, share * 0.7)
