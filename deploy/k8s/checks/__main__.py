"""python -m deploy.k8s.checks OVERLAY: its manifests, if nothing is wrong with them; else what is, and exit code 2."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from deploy.k8s.checks.objects import OVERLAYS, rendered
from deploy.k8s.checks.problems import problems, provided_by, unchecked_by
from vitrine.runtime.errors import ConfigError


def overlay_of(name: str) -> Path:
    """A folder, or the name of one of our overlays. Raises ConfigError (`OVERLAY`)."""
    for folder in (OVERLAYS / name, Path(name)):
        if name and (folder / "kustomization.yaml").is_file():
            return folder
    ours = ", ".join(sorted(path.name for path in OVERLAYS.iterdir()))
    raise ConfigError("OVERLAY", f"{name!r} is neither one of {ours} nor a folder with a kustomization.yaml")


def main(name: str) -> None:
    overlay = overlay_of(name)
    objects = rendered(overlay)
    found = problems(objects, provided_by(overlay), unchecked_by(overlay))
    if found:
        raise ConfigError("manifests", "\n  ".join([f"{overlay} cannot be applied as it is:", *found]))
    yaml.safe_dump_all(objects, sys.stdout, sort_keys=False)


if __name__ == "__main__":
    try:
        main(sys.argv[1] if len(sys.argv) > 1 else "")
    except ConfigError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
