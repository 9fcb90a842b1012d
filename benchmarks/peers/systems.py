"""What is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class System:
    """`backend`: its module in `benchmarks.peers.backends`. `packages`: of the peers' environment; none: Vitrine's own.

    The version of the first package is told. `place`: where its index is searched.
    """

    name: str
    backend: str
    packages: tuple[str, ...]
    place: str

    @property
    def is_ours(self) -> bool:
        return not self.packages


VITRINE: Final = System("Vitrine", "vitrine_gateway", (), "server")
CHROMA: Final = System("Chroma", "chroma_server", ("chromadb",), "server")
SYSTEMS: Final = (
    VITRINE,
    CHROMA,
    System("LanceDB", "lancedb_table", ("lancedb",), "in the client's process"),
    System("Milvus Lite", "milvus_lite", ("milvus-lite", "pymilvus"), "in the client's process"),
    System("hnswlib", "hnswlib_index", ("hnswlib",), "library"),
    System("Annoy, 100 trees", "annoy_index", ("annoy",), "library"),
    System("numpy scan", "cosine_scan", ("numpy",), "library"),
)
