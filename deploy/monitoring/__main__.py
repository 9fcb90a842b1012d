"""python -m deploy.monitoring [--record]: writes the dashboards and draws them; --record: lives the story first."""

from __future__ import annotations

import sys

from deploy.monitoring.boards import written
from deploy.monitoring.rendering.drawing import draw_all
from deploy.monitoring.rendering.recording import Recording, record
from vitrine.runtime.errors import ConfigError


def main(arguments: list[str]) -> None:
    """Raises ConfigError."""
    written.write()
    if arguments == ["--record"]:
        record().write()
    elif arguments:
        raise ConfigError(arguments[0], "is not --record")
    draw_all(Recording.read())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ConfigError as error:
        sys.exit(f"dashboards: {error}")
