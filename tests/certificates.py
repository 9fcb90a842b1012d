"""Certificates and tokens for tests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from vitrine.cli.bench.certificates import HOUR_S as HOUR_S
from vitrine.cli.bench.certificates import Authority as Authority
from vitrine.cli.bench.certificates import Secret as Secret


def write_tokens(file: Path, tokens: Mapping[str, tuple[str, Sequence[str]]]) -> Path:
    """A tokens file: by name, the token and its roles. Returns it."""
    entries = [
        {"name": name, "sha256": hashlib.sha256(token.encode()).hexdigest(), "roles": list(roles)}
        for name, (token, roles) in tokens.items()
    ]
    replacing = file.with_suffix(".new")
    replacing.write_text(json.dumps({"tokens": entries}))
    replacing.rename(file)
    return file
