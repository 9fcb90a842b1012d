"""A page of pictures in groups: one file that needs nothing else, and runs nothing."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Final, NamedTuple

from vitrine.cli.grid import Cell

# Nothing is fetched and nothing is run, whatever a catalogue's texts hold.
_HEAD: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 15px/1.4 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem; }}
h1 {{ font-size: 1.4rem; margin: 0; }}
h2 {{ font-size: 1rem; margin: 0 0 .5rem; }}
section {{ border-top: 1px solid #8884; margin-top: 1.5rem; padding-top: 1rem; }}
ul {{ display: flex; flex-wrap: wrap; gap: 1rem; list-style: none; margin: 0; padding: 0; }}
figure {{ margin: 0; width: 11rem; }}
img, .none {{ aspect-ratio: 1; background: #fff; border: 1px solid #8884; border-radius: 4px; box-sizing: border-box;
  display: block; object-fit: contain; width: 100%; }}
.none {{ background: none; }}
figcaption {{ font-size: .8rem; overflow-wrap: anywhere; padding-top: .3rem; white-space: pre-line; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{note}</p>
"""
_TAIL: Final = "</body>\n</html>\n"


class PageGroup(NamedTuple):
    """Pictures under one title."""

    title: str
    cells: Sequence[Cell]


def save_page(title: str, note: str, groups: Iterable[PageGroup], path: Path) -> None:
    """Writes one group after the other, so that only one is in memory. Texts are shown as they are."""
    with path.open("w", encoding="utf-8") as page:
        page.write(_HEAD.format(title=escape(title), note=escape(note)))
        for group in groups:
            page.write(f"<section>\n<h2>{escape(group.title)}</h2>\n<ul>\n")
            page.writelines(map(_item, group.cells))
            page.write("</ul>\n</section>\n")
        page.write(_TAIL)


def _item(cell: Cell) -> str:
    label = escape(cell.label)
    return f"<li><figure>{_picture(cell.picture)}<figcaption>{label}</figcaption></figure></li>\n"


def _picture(picture: bytes | None) -> str:
    """`picture`: WebP, as thumbnails are. Its caption says what it is."""
    if picture is None:
        return '<div class="none"></div>'
    return f'<img alt="" src="data:image/webp;base64,{base64.b64encode(picture).decode()}">'
