"""A picture grid of an answer: the query, then what was found, best first."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from vitrine.runtime.errors import ConfigError

_CELL_PX: Final = 180
_LABEL_PX: Final = 34
_MARGIN_PX: Final = 8
_COLUMNS: Final = 6
_INK: Final = (40, 40, 40)
_FRAME: Final = (225, 225, 225)
_QUERY_FRAME: Final = (200, 60, 40)


class Cell(NamedTuple):
    """One picture (encoded bytes, or None if there is none) and up to two lines under it."""

    picture: bytes | None
    label: str


def check_grid_path(path: Path) -> None:
    """Raises ConfigError (field `save`) where no picture could be saved: before any work is done for it."""
    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise ConfigError("save", f"{path.name} has no ending of a picture format, such as .png or .jpg")
    check_writable(path)


def check_writable(path: Path) -> None:
    """Makes an empty file. Raises ConfigError (field `save`)."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise ConfigError("save", f"{path} cannot be written ({error.strerror})") from error


def save_grid(rows: Sequence[tuple[Cell, Sequence[Cell]]], path: Path) -> None:
    """One block a query: its picture first, framed, then the products found. The file's ending decides the format."""
    blocks = [_block(query, found) for query, found in rows]
    sheet = Image.new("RGB", (max(block.width for block in blocks), sum(block.height for block in blocks)), "white")
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path)


def _block(query: Cell, found: Sequence[Cell]) -> Image.Image:
    cells = [query, *found]
    columns = min(_COLUMNS, len(cells))
    lines = -(-len(cells) // columns)
    step_x, step_y = _CELL_PX + _MARGIN_PX, _CELL_PX + _LABEL_PX + _MARGIN_PX
    block = Image.new("RGB", (columns * step_x + _MARGIN_PX, lines * step_y + _MARGIN_PX), "white")
    for number, cell in enumerate(cells):
        left = _MARGIN_PX + number % columns * step_x
        top = _MARGIN_PX + number // columns * step_y
        _draw(block, cell, left, top, _QUERY_FRAME if number == 0 else _FRAME)
    return block


def _draw(block: Image.Image, cell: Cell, left: int, top: int, frame: tuple[int, int, int]) -> None:
    draw = ImageDraw.Draw(block)
    draw.rectangle((left, top, left + _CELL_PX - 1, top + _CELL_PX - 1), outline=frame, width=3)
    if cell.picture is not None:
        inner = _CELL_PX - 10
        picture = Image.open(io.BytesIO(cell.picture)).convert("RGB")
        scale = min(inner / picture.width, inner / picture.height)
        picture = picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))
        place = (left + (_CELL_PX - picture.width) // 2, top + (_CELL_PX - picture.height) // 2)
        block.paste(picture, place)
    font = ImageFont.load_default(13)
    for line, text in enumerate(cell.label.split("\n")[:2]):
        draw.text((left + 2, top + _CELL_PX + 2 + line * 15), _shortened(text, font), fill=_INK, font=font)


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    if font.getlength(text) <= _CELL_PX - 4:
        return text
    while text and font.getlength(text + "…") > _CELL_PX - 4:
        text = text[:-1]
    return text + "…"
