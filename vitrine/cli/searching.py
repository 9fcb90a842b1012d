"""vitrine search; and what its neighbours share: how a query is named, and how hits are shown as pictures."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from vitrine.cli import commands, console, filtering
from vitrine.cli.grid import Cell, check_grid_path, save_grid
from vitrine.client import Crop, DuplicateMember, Example, Examples, Search, VisualSearchClient
from vitrine.client.batches import MAX_PAGED
from vitrine.images import CropBox, thumbnail
from vitrine.runtime.errors import ConfigError, InvalidArgument, NotFound
from vitrine.shards.records import Hit

AUTO: Final = "auto"

QUERY_HELP: Final = "a picture file, or the id of a product"
CropOption = Annotated[
    str,
    typer.Option("--crop", help="part of the picture: auto = the product in it, or left,top,right,bottom (0 to 1)"),
]
FilterOption = Annotated[list[str] | None, typer.Option("--filter", help=filtering.HELP)]
SaveOption = Annotated[Path | None, typer.Option(help="save a picture grid, e.g. grid.png")]


def search(
    query: Annotated[str, typer.Argument(help=QUERY_HELP)],
    k: Annotated[int, typer.Option("--k", min=1, max=MAX_PAGED, help="products wanted, 1 to 1,000")] = 10,
    folder: commands.Folder = commands.DEFAULT_FOLDER,
    gateway: commands.Gateway = "",
    crop: CropOption = "",
    like: Annotated[list[str] | None, typer.Option(help="more like this too: a picture file or a product id")] = None,
    dislike: Annotated[list[str] | None, typer.Option(help="less like this: a picture file or a product id")] = None,
    filters: FilterOption = None,
    facet: Annotated[
        list[str] | None,
        typer.Option(help="count the values of this field over the best 1,000: category, live.price, …"),
    ] = None,
    page: Annotated[int, typer.Option(min=1, help="of k products each, up to 1,000 in all")] = 1,
    recall_target: Annotated[
        float | None, typer.Option(help="0.5 to 1, instead of the index's: less is faster")
    ] = None,
    exact: Annotated[bool, typer.Option(help="score every row instead of using the trees")] = False,
    explain: Annotated[bool, typer.Option(help="say how each shard was searched and what it cost")] = False,
    as_json: commands.AsJson = False,
    save: SaveOption = None,
) -> None:
    """Find products that look like a picture or another product."""
    if save:
        check_grid_path(save)
    thing = thing_of(query)
    examples = _examples(thing, crop_of(crop), like or (), dislike or ())
    asked = Search(
        image=thing if isinstance(thing, bytes) and not examples else None,
        product_id=thing if isinstance(thing, str) and not examples else None,
        examples=examples,
        k=k,
        crop=None if examples else crop_of(crop),
        filter=filtering.filter_of(filters or ()),
        exact=exact,
        recall_target=recall_target,
        explain=explain,
        facets=facet or (),
    )
    with commands.gateway_client(folder, gateway) as client:
        answer = next(itertools.islice(client.pages(asked), page - 1, None), None)
        if answer is None:
            raise ConfigError("page", f"is {page}: there are fewer pages")
        if save:
            save_grid([(query_cell(client, query, thing), result_cells(client, answer.hits))], save)
    if as_json:
        commands.print_json(asdict(answer))
    else:
        console.print_answer(answer)
    if save:
        console.say_saved(save)


def thing_of(query: str) -> bytes | str:
    """The bytes of a file, or the product id that it is where there is no such file."""
    try:
        return Path(query).read_bytes() if Path(query).is_file() else query
    except OSError:
        return query


def crop_of(text: str) -> Crop | None:
    """Raises ConfigError (`crop`) where it cannot be read."""
    if text in ("", AUTO):
        return "auto" if text else None
    try:
        left, top, right, bottom = map(float, text.split(","))
        return CropBox(left, top, right, bottom).validated()
    except (ValueError, InvalidArgument) as error:
        reason = f"{text!r} is neither auto nor left,top,right,bottom, each 0 to 1, such as 0.1,0.2,0.6,0.9"
        raise ConfigError("crop", reason) from error


def query_cell(client: VisualSearchClient, query: str, thing: bytes | str) -> Cell:
    """The picture that was asked with, or the first one of the product."""
    if isinstance(thing, bytes):
        return Cell(thumbnail(thing), f"query\n{Path(query).name}")
    return product_cell(client, thing, "query")


def product_cell(client: VisualSearchClient, product_id: str, title: str) -> Cell:
    """The first picture of a product under a title."""
    images = client.product(product_id).images
    return Cell(_thumbnail(client, images[0].sha256), f"{title}\n{product_id}")


def result_cells(client: VisualSearchClient, hits: Sequence[Hit | DuplicateMember]) -> list[Cell]:
    """Thumbnail, score and label of each hit."""
    return [Cell(_thumbnail(client, hit.sha256), f"{hit.score:.3f}  {hit.product_id}\n{_label(hit)}") for hit in hits]


def _examples(thing: bytes | str, crop: Crop | None, likes: Sequence[str], dislikes: Sequence[str]) -> Examples | None:
    """What is liked, the query first, and what is not; None where the query is all there is."""
    if not likes and not dislikes:
        return None
    positive = [Example(thing, crop=crop), *(Example(thing_of(like)) for like in likes)]
    return Examples(positive, [thing_of(dislike) for dislike in dislikes])


def _label(hit: Hit | DuplicateMember) -> str:
    """What a person would call the product."""
    attributes = hit.attributes
    named = [str(attributes[name]) for name in ("colour", "pattern", "article_type") if attributes.get(name)]
    return " ".join(named) or hit.category


def _thumbnail(client: VisualSearchClient, sha256: bytes) -> bytes | None:
    try:
        return client.thumbnail(sha256)
    except NotFound:
        return None
