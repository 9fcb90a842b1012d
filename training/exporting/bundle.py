"""A model folder made whole: its ONNX files, model.json and card appear together, or not at all."""

from __future__ import annotations

import errno
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from training.exporting import variants, weights
from training.exporting.graph import INPUT, Deployed, check_parity, export_fp32
from training.exporting.variants import Samples
from training.learning.saving import NotSaved
from vitrine import model_folder
from vitrine.model_folder import Input, ModelFolder, VectorPart
from vitrine.runtime.errors import ConfigError

PARITY_PICTURES: Final = 64
_DISK_REFUSES: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO})


@dataclass(frozen=True)
class Export:
    """What is exported. `names`: labels by column, for the columns that `deployed` scores; `px`: of the input."""

    name: str
    deployed: Deployed
    names: Mapping[str, tuple[str, ...]]
    px: int


def check_target(folder: Path) -> None:
    """Raises ConfigError (`out`) where `folder` holds something else than a model, which would be replaced with it."""
    holds = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if (holds and model_folder.FILE not in holds) or (folder.exists() and not folder.is_dir()):
        raise ConfigError("out", f"{folder} exists and is no model folder; name one that is new, empty or a model's")


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` to fill; it takes that one's place once the block ends without an error.

    With an error, `folder` stays as it was. Raises ConfigError (`out`); NotSaved where the disk is full.
    """
    check_target(folder)
    folder = folder.resolve()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise ConfigError("out", f"{folder} cannot be written ({error.strerror})") from error
    try:
        yield work
        # mkdtemp makes a folder that nobody else may read; a model is read by the services.
        work.chmod(0o755)
        _take_place(work, folder)
    except OSError as error:
        if error.errno not in _DISK_REFUSES:
            raise
        raise NotSaved(f"{folder} cannot be saved: {error.strerror}; what was there is untouched") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write(folder: Path, export: Export, wanted: Sequence[str], samples: Samples) -> ModelFolder:
    """Writes the `wanted` variants of a model and their model.json into `folder`, which exists.

    Raises ParityError where a file does not say what the network says; ConfigError (`variants`).
    """
    wanted = variants.chosen(wanted)
    deployed, given = export.deployed, Input(INPUT, export.px, export.px)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        fp32 = Path(work) / variants.FILES[model_folder.FP32]
        export_fp32(deployed, fp32, export.px)
        check_parity(deployed, fp32, samples.queries[:PARITY_PICTURES])
        weights.settle(fp32)
        facts = ModelFolder(
            format_version=model_folder.FORMAT_VERSION,
            name=export.name,
            model_id=weights.model_id(fp32, given),
            input=given,
            outputs=deployed.outputs,
            dim=deployed.dim,
            parts=_parts(deployed),
            labels=export.names[deployed.columns[0]] if deployed.columns else (),
            label_column=deployed.columns[0] if deployed.columns else "",
            heads=deployed.heads(export.names),
            variants=variants.build(fp32, folder, wanted, samples),
        )
    _save(folder, facts)
    return facts


def record(folder: Path, training: Mapping[str, Any]) -> ModelFolder:
    """Writes what is known of a model's training, and its figures under `test`, into its model.json."""
    facts = replace(ModelFolder.read(folder), training=dict(training))
    _save(folder, facts)
    return facts


def _save(folder: Path, facts: ModelFolder) -> None:
    draft = folder / f"{model_folder.FILE}.new"
    draft.write_text(facts.as_json())
    draft.replace(folder / model_folder.FILE)


def _parts(deployed: Deployed) -> tuple[VectorPart, ...]:
    """The vector's parts, with the weights they have in its cosine. After a reduction there are none."""
    designed = deployed.network.design.parts if deployed.reduction is None else ()
    total = sum(part.weight for part in designed)
    return tuple(VectorPart(part.name, part.dim, part.weight / total, part.columns) for part in designed)


def _take_place(work: Path, folder: Path) -> None:
    """Renames `work` to `folder`. What was there stays until that has happened, and comes back if it has not."""
    if not folder.exists():
        work.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent)) / folder.name
    folder.rename(old)
    try:
        work.rename(folder)
    except OSError:
        old.rename(folder)
        old.parent.rmdir()
        raise
    shutil.rmtree(old.parent, ignore_errors=True)
