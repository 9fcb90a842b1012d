"""Dashboards drawn from what was recorded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from deploy.monitoring.boards.written import DASHBOARDS
from deploy.monitoring.rendering.recording import Line, Recording, empty_panels, legend
from vitrine.runtime.errors import ConfigError

RECORDING = Recording.read()


def test_the_recording_is_of_the_dashboards_as_they_are() -> None:
    recorded = {board: list(panels) for board, panels in RECORDING.panels.items()}
    assert recorded == {board.name: [panel.title for panel in board.panels] for board in DASHBOARDS}, (
        "run `make dashboards RECORD=1`"
    )


def test_every_panel_has_something_to_show() -> None:
    assert empty_panels(RECORDING) == []


def test_it_holds_a_story() -> None:
    [complete] = RECORDING.panels["shopper"]["Are answers complete?"]
    known = [value for value in complete.values if value is not None]
    assert max(known) > 0.999
    assert min(known) < 0.99
    assert len(RECORDING.chapters) == 7


def test_a_recording_is_read_as_it_was_written(tmp_path: Path) -> None:
    RECORDING.write(tmp_path / "again.json")
    assert Recording.read(tmp_path / "again.json") == RECORDING


@pytest.mark.parametrize(
    ("labels", "said"),
    [({"partition": "1", "namespace": "shop"}, "partition 1 shop"), ({"partition": "1"}, "partition 1")],
)
def test_a_legend_leaves_out_labels_that_a_series_lacks(labels: dict[str, str], said: str) -> None:
    assert legend("partition {{partition}} {{namespace}}", labels) == said


def test_a_panel_without_a_value_is_refused(tmp_path: Path) -> None:
    drawing = pytest.importorskip("deploy.monitoring.rendering.drawing")
    shopper = {**RECORDING.panels["shopper"], "Is recall kept?": [Line("recall@10", [None, None])]}
    with pytest.raises(ConfigError, match="shopper: Is recall kept"):
        drawing.draw_all(replace(RECORDING, panels={**RECORDING.panels, "shopper": shopper}), tmp_path)


@pytest.mark.thorough
def test_pictures_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures are drawn with the extra `bench`")
    drawing = pytest.importorskip("deploy.monitoring.rendering.drawing")
    drawn = drawing.draw_all(RECORDING, tmp_path)
    assert [path.name for path in drawn] == [f"dashboard-{board.name}.png" for board in DASHBOARDS]
    assert min(path.stat().st_size for path in drawn) > 30_000
