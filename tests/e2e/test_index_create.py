"""vitrine index create: an index is made once; made again with other settings, it is refused by the first of them."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.command import last_json, succeeded, vitrine
from vitrine.model_folder import ModelFolder

MODEL = Path(__file__).parents[2] / "models" / "fashion-resnet18"


def test_an_index_is_made_with_what_was_said_and_only_once(tmp_path: Path) -> None:
    store = tmp_path / "store"
    asked = ("index", "create", "--store", store, "--model", MODEL, "--partitions", "4", "--retention", "30d", "--json")

    for _ in range(2):
        made = last_json(succeeded(*asked))
        assert (made["name"], made["partitions"], made["retention_s"]) == ("default", 4, 30 * 86_400.0)
        assert made["model_id"] == ModelFolder.read(MODEL).model_id

    other = vitrine("index", "create", "--store", store, "--model", MODEL, "--partitions", "8", "--retention", "30d")
    assert (other.returncode, other.stdout) == (2, "")
    assert other.stderr.startswith("vitrine: partitions: index 'default' was made with 4, not 8")


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = vitrine("index", "create", "--store", tmp_path / "store", "--model", tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"vitrine: model: {tmp_path} holds no readable model.json")
    assert not (tmp_path / "store").exists()
