"""vitrine recommend, vitrine look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated

import typer

from vitrine.cli import commands, console, filtering, searching
from vitrine.cli.grid import Cell, check_grid_path, save_grid
from vitrine.client import Recommendations, VisualSearchClient


def recommend(
    product_ids: Annotated[list[str], typer.Argument(help="products that a shopper looked at")],
    k: Annotated[int, typer.Option("--k", help="products wanted, 1 to 100")] = 10,
    folder: commands.Folder = commands.DEFAULT_FOLDER,
    gateway: commands.Gateway = "",
    interests: Annotated[int | None, typer.Option(help="that may be told apart, 1 to 10; default: 3")] = None,
    diversity: Annotated[
        float | None, typer.Option(help="0 = the best, however alike, to 1 = as different as can be")
    ] = None,
    filters: searching.FilterOption = None,
    as_json: commands.AsJson = False,
    save: searching.SaveOption = None,
) -> None:
    """Find what a shopper who looked at some products may like."""
    if save:
        check_grid_path(save)
    with commands.gateway_client(folder, gateway) as client:
        found = client.recommend(
            product_ids,
            k=k,
            max_interests=interests,
            diversity=diversity,
            filter=filtering.filter_of(filters or ()),
        )
        if save:
            save_grid(list(_interest_rows(client, found)), save)
    if as_json:
        commands.print_json(asdict(found))
    else:
        console.print_recommendations(found)
    if save:
        console.say_saved(save)


def look(
    query: Annotated[str, typer.Argument(help=searching.QUERY_HELP)],
    folder: commands.Folder = commands.DEFAULT_FOLDER,
    gateway: commands.Gateway = "",
    crop: searching.CropOption = "",
    category: Annotated[
        list[str] | None, typer.Option(help="to choose from; more than one: each. Default: the largest 20 others")
    ] = None,
    own_category: Annotated[str, typer.Option(help="of the query, if it is not the one that is known or seen")] = "",
    per_category: Annotated[int | None, typer.Option(help="products of each, 1 to 50; default: 4")] = None,
    filters: searching.FilterOption = None,
    as_json: commands.AsJson = False,
    save: searching.SaveOption = None,
) -> None:
    """Find what goes with a product or the picture of one: the best of other categories."""
    if save:
        check_grid_path(save)
    thing = searching.thing_of(query)
    with commands.gateway_client(folder, gateway) as client:
        found = client.complete_the_look(
            image=thing if isinstance(thing, bytes) else None,
            product_id=thing if isinstance(thing, str) else None,
            crop=searching.crop_of(crop),
            own_category=own_category,
            categories=category or (),
            per_category=per_category,
            filter=filtering.filter_of(filters or ()),
        )
        if save:
            own = searching.query_cell(client, query, thing)
            rows = [(own, searching.result_cells(client, one.hits)) for one in found.categories]
            save_grid(rows or [(own, [])], save)
    if as_json:
        commands.print_json(asdict(found))
    else:
        console.print_look(found)
    if save:
        console.say_saved(save)


def _interest_rows(client: VisualSearchClient, found: Recommendations) -> Iterator[tuple[Cell, list[Cell]]]:
    """Each interest by the product that stands for it, and what was found for it."""
    for interest in found.interests:
        hits = [result.hit for result in found.results if result.interest == interest]
        own = searching.product_cell(client, interest.product_id, f"interest, {interest.weight:.0%}")
        yield own, searching.result_cells(client, hits)
