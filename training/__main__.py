"""`python -m training DATA --out FOLDER` trains and exports; `python -m training eval FOLDER DATA` measures again."""

from __future__ import annotations

import json
import sys

from training import arguments, commands
from vitrine.runtime.errors import ConfigError, VitrineError


def main() -> int:
    """Exit code 0; 2 where the settings are wrong; 1 where an export is not faithful."""
    try:
        print(json.dumps(commands.run(arguments.parsed(sys.argv[1:])), indent=2))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except VitrineError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
