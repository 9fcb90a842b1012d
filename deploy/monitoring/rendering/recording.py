"""What a Prometheus said of a story: kept small, to draw dashboards from."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from deploy.monitoring.boards.panels import Dashboard, Panel, Query
from deploy.monitoring.boards.written import DASHBOARDS
from deploy.monitoring.rendering.prometheus import Prometheus, running_prometheus
from deploy.monitoring.rendering.story import RECORDED, Story, live_through, scraped, shop_settings
from vitrine.cli.commands import DEFAULT_MODEL
from vitrine.cli.stack import running_stack

RECORDING: Final = Path(__file__).parents[1] / "recorded" / "story.json"
_SCRAPE_S: Final = 2
_STEP_S: Final = 4
_DIGITS: Final = 4
_LABEL: Final = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True)
class Line:
    """One series. `values`: one a step, None where there is none."""

    legend: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Recording:
    """date      when, as YYYY-MM-DD
    step_s    seconds between two values
    chapters  seconds from the beginning, and what happened then
    panels    lines by dashboard and title
    """

    date: str
    step_s: float
    chapters: Sequence[tuple[float, str]]
    panels: dict[str, dict[str, list[Line]]]

    @staticmethod
    def read(path: Path = RECORDING) -> Recording:
        fields = json.loads(path.read_text())
        panels = {
            board: {title: [Line(**line) for line in lines] for title, lines in titles.items()}
            for board, titles in fields["panels"].items()
        }
        return Recording(fields["date"], fields["step_s"], [(at, what) for at, what in fields["chapters"]], panels)

    def write(self, path: Path = RECORDING) -> None:
        """One panel a line, for people who compare two."""
        boards = [
            f"  {json.dumps(board)}: {{\n"
            + ",\n".join(
                f"   {json.dumps(title)}: {_compact(list(map(asdict, lines)))}" for title, lines in titles.items()
            )
            + "\n  }"
            for board, titles in self.panels.items()
        ]
        head = [f' "date": "{self.date}"', f' "step_s": {self.step_s}', f' "chapters": {_compact(self.chapters)}']
        path.write_text("{\n" + ",\n".join([*head, ' "panels": {\n' + ",\n".join(boards) + "\n }"]) + "\n}\n")


def record() -> Recording:
    """The whole story, on this machine. Takes seven minutes."""
    with (
        tempfile.TemporaryDirectory(prefix="vitrine-story-") as folder,
        running_stack(shop_settings(Path(folder) / "up", DEFAULT_MODEL)) as stack,
        running_prometheus(Path(folder) / "prometheus", scraped(stack), _SCRAPE_S) as prometheus,
    ):
        return recorded(prometheus, live_through(stack, RECORDED), _STEP_S)


def recorded(prometheus: Prometheus, story: Story, step_s: float) -> Recording:
    """What each panel shows of `story`."""
    panels = {
        board.name: {panel.title: _lines(prometheus, panel, story, step_s) for panel in board.panels}
        for board in DASHBOARDS
    }
    chapters = [(round(at_s - story.began_s, 1), what) for at_s, what in story.chapters]
    return Recording(story.date, step_s, chapters, panels)


def empty_panels(recording: Recording, boards: Sequence[Dashboard] = DASHBOARDS) -> list[str]:
    """Queries for which not one number was found."""
    return [
        f"{board.name}: {panel.title}"
        for board in boards
        for panel in board.panels
        if not any(value is not None for line in recording.panels[board.name][panel.title] for value in line.values)
    ]


def _lines(prometheus: Prometheus, panel: Panel, story: Story, step_s: float) -> list[Line]:
    return [line for query in panel.queries for line in _lines_of(prometheus, query, story, step_s)]


def _lines_of(prometheus: Prometheus, query: Query, story: Story, step_s: float) -> list[Line]:
    steps = int((story.ended_s - story.began_s) / step_s) + 1
    lines = []
    for labels, points in prometheus.range(query.expr, story.began_s, story.ended_s, step_s):
        values: list[float | None] = [None] * steps
        for at_s, value in points:
            place = round((at_s - story.began_s) / step_s)
            if place < steps and math.isfinite(value):
                values[place] = float(f"{value:.{_DIGITS}g}")
        lines.append(Line(legend(query.legend, labels), values))
    # What has not happened in all of the story says nothing; what nothing is known of stays, to be noticed.
    return [line for line in lines if any(value is not None for value in line.values)] or lines[:1]


def legend(template: str, labels: dict[str, str]) -> str:
    """As Grafana fills it in: a label that a series does not have is nothing."""
    return _LABEL.sub(lambda found: labels.get(found[1], ""), template).strip()


def _compact(what: object) -> str:
    return json.dumps(what, separators=(",", ":"), ensure_ascii=False)
