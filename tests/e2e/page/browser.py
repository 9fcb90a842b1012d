"""A real Chromium, the system's own, without a window."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, sync_playwright

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
_ON_A_MAC: Final = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


def chromium() -> str | None:
    """Its path; None where there is none (scripts/browser.sh installs it, or says how)."""
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if found is None and sys.platform == "darwin" and _ON_A_MAC.is_file():
        return str(_ON_A_MAC)
    return found


@contextmanager
def running_browser(path: str) -> Iterator[Browser]:
    """`path`: of Chromium."""
    # Chromium's sandbox wants a user; a container's root has none. What is opened here is ours alone.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*arguments, "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()
