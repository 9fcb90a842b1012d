"""How big images are, unpacked and as they are pulled, as a table in Markdown.

    sizes.py [IMAGE…]     # without: all that deploy/docker/build.sh has built

Docker's images, or podman's (and buildah's) where there is no Docker engine.

As pulled: each layer compressed by gzip, as registries keep them. A node pulls no layer that it has: base, Python and a
service's libraries stay the same from one release to the next unless one of them is moved.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, Final

_BLOCK_BYTES: Final = 1 << 20
_GZIP: Final = 16 + zlib.MAX_WBITS


@dataclass(frozen=True)
class Size:
    """Of one image, in bytes."""

    image: str
    unpacked: int
    pulled: int


def sizes(images: Sequence[str]) -> list[Size]:
    """In the order of `images`. A layer that several share is compressed once, and counts for each."""
    engine = engine_here()
    multi = ["--multi-image-archive"] if engine == "podman" else []
    with subprocess.Popen([engine, "save", *multi, *images], stdout=subprocess.PIPE) as saving:
        assert saving.stdout is not None
        layers, manifests = _read(saving.stdout)
    if saving.returncode:
        raise SystemExit(f"{engine} save ended with {saving.returncode}")
    found = []
    for image in images:
        manifest = next(one for one in manifests if any(tag.endswith(image) for tag in one["RepoTags"]))
        own = [layers[name] for name in manifest["Layers"]]
        found.append(Size(image, sum(size for size, _ in own), sum(pulled for _, pulled in own)))
    return found


def table(found: Sequence[Size]) -> str:
    rows = [f"| `{size.image}` | {size.unpacked / 1e6:.0f} MB | {size.pulled / 1e6:.0f} MB |" for size in found]
    return "\n".join(["| image | unpacked | as pulled |", "|---|---:|---:|", *rows])


def built(engine: str) -> list[str]:
    """Names and tags of the images that are there."""
    command = [engine, "images", "--filter", "reference=vitrine-*", "--format", "{{.Repository}}:{{.Tag}}"]
    return sorted(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def engine_here() -> str:
    docker = subprocess.run(["docker", "info"], capture_output=True, check=False)
    return "podman" if docker.returncode else "docker"


def _read(archive: IO[bytes]) -> tuple[dict[str, tuple[int, int]], list[dict[str, list[str]]]]:
    """Each file's size as it is and compressed, by its name, and the manifests, of what `save` writes."""
    layers: dict[str, tuple[int, int]] = {}
    manifests: list[dict[str, list[str]]] = []
    with tarfile.open(fileobj=archive, mode="r|") as tar:
        for member in tar:
            content = tar.extractfile(member) if member.isfile() else None
            if content is None:
                continue
            if member.name == "manifest.json":
                manifests = json.load(content)
            else:
                layers[member.name] = (member.size, _compressed_bytes(content))
    return layers, manifests


def _compressed_bytes(content: IO[bytes]) -> int:
    packer = zlib.compressobj(wbits=_GZIP)
    size = 0
    while block := content.read(_BLOCK_BYTES):
        size += len(packer.compress(block))
    return size + len(packer.flush())


if __name__ == "__main__":
    sys.stdout.write(table(sizes(sys.argv[1:] or built(engine_here()))) + "\n")
