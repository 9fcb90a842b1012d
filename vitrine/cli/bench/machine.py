"""What a figure was measured on, so that it can be read later."""

from __future__ import annotations

import datetime
import os
import platform
from pathlib import Path
from typing import Any

from vitrine.runtime.cores import usable_cores


def machine() -> dict[str, Any]:
    """Processor, cores, system and date."""
    return {
        "processor": _processor(),
        "cores": usable_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "load_average_1m": round(os.getloadavg()[0], 2),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def private_bytes(pid: int) -> int | None:
    """Memory of a process that is its own (anonymous, not mapped from files); None where the system does not say."""
    status = Path(f"/proc/{pid}/status")
    if not status.is_file():
        return None
    for line in status.read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"
