"""The four dashboards, and the files that Grafana imports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from deploy.monitoring.boards.capacity import CAPACITY
from deploy.monitoring.boards.embedder import EMBEDDER
from deploy.monitoring.boards.indexing import INDEXING
from deploy.monitoring.boards.panels import Dashboard
from deploy.monitoring.boards.shopper import SHOPPER

DASHBOARDS: Final = (SHOPPER, INDEXING, EMBEDDER, CAPACITY)
FOLDER: Final = Path(__file__).parents[1] / "dashboards"


def text_of(dashboard: Dashboard) -> str:
    """The JSON that is committed."""
    return json.dumps(dashboard.document(), indent=1, ensure_ascii=False) + "\n"


def write(folder: Path = FOLDER) -> None:
    for dashboard in DASHBOARDS:
        (folder / f"{dashboard.name}.json").write_text(text_of(dashboard))
