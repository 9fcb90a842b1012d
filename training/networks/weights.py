"""What a network starts from: nothing, ImageNet, or a file of weights."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from training.networks.backbones import Backbone
from training.networks.network import Network, module_name
from training.networks.plans import StateDict
from vitrine.runtime.errors import ConfigError

NONE: Final = "none"
IMAGENET: Final = "imagenet"

_OURS: Final = "backbone.nodes."
_WRAPPERS: Final = ("weights", "w", "state_dict")
"""Where a file keeps its state dict, if it is not one itself."""
_BARE_NAME: Final = re.compile(r"^(heads|parts)\.(?!of_)")
"""How older files name a head or a part: as its column or part is named."""

_COUNTER: Final = "num_batches_tracked"
_NO_NAMES: Final[Mapping[str, tuple[str, ...]]] = {}
_NAMED: Final = 3
"""How many of the names that do not fit are said."""


@dataclass(frozen=True)
class Loaded:
    """What came of some weights: how many tensors were taken, and which heads start anew: those of other labels."""

    tensors: int
    new_heads: tuple[str, ...] = ()


def start_from(network: Network, weights: str, names: Mapping[str, tuple[str, ...]] = _NO_NAMES) -> Loaded:
    """Fills `network` from "none", "imagenet" or the path of a file.

    A file is a checkpoint of ours, a state dict of a whole `Network`, or one of a bare backbone, such as torchvision
    publishes. `names`: the labels that each head of `network` is to know, in code order; a checkpoint's head for other
    ones is not taken, and where either side does not say its labels, as many count as the same. Raises ConfigError
    (`weights`) where the weights cannot be had or do not fit.
    """
    if weights == NONE:
        return Loaded(0)
    if weights == IMAGENET:
        return _into_backbone(network.backbone, _pretrained(network.backbone), IMAGENET)
    file = read_file(Path(weights))
    saved = _state_dict(file, weights)
    if any(name.startswith(_OURS) for name in saved):
        known = _names(file)
        renamed = [column for column in names if column in known and known[column] != names[column]]
        return _into_network(network, as_named_now(saved), weights, renamed)
    return _into_backbone(network.backbone, saved, weights)


def read_file(path: Path) -> dict[str, Any]:
    """What torch saved in a file, without running anything in it. Raises ConfigError (`weights`)."""
    if not path.is_file():
        raise ConfigError("weights", f'{path} does not exist; say "{NONE}", "{IMAGENET}" or the path of a file')
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, KeyError, ValueError) as error:
        raise ConfigError("weights", f"{path} cannot be read as weights ({_first_line(error)})") from error
    if not isinstance(saved, Mapping):
        raise ConfigError("weights", f"{path} holds a {type(saved).__name__}, not a state dict")
    return dict(saved)


def as_named_now(weights: StateDict) -> dict[str, Tensor]:
    """A state dict of a `Network`, perhaps an older one, with the names that its tensors have today."""
    return {_BARE_NAME.sub(r"\1.of_", name): value for name, value in weights.items()}


def _state_dict(file: Mapping[str, Any], source: str) -> dict[str, Tensor]:
    """The state dict in a file: the whole of it, or what it keeps under "weights"."""
    inner = next((file[key] for key in _WRAPPERS if isinstance(file.get(key), Mapping)), file)
    tensors = {str(name): value for name, value in inner.items() if isinstance(value, Tensor)}
    if not tensors:
        raise ConfigError("weights", f"{source} holds no weights but {', '.join(map(str, file)) or 'nothing'}")
    return tensors


def _names(file: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """What each head in a file knows, in code order: {} where the file does not say."""
    if not isinstance(file.get("names"), Mapping):
        return {}
    names = {str(column): tuple(labels) for column, labels in file["names"].items()}
    return {**names, file["words_column"]: tuple(file["words"])} if file.get("words_column") else names


def _pretrained(backbone: Backbone) -> StateDict:
    if backbone.plan.pretrained is None:
        raise ConfigError("weights", f"nobody publishes ImageNet weights for {backbone.name}")
    try:
        return backbone.plan.pretrained()
    except (OSError, RuntimeError) as error:  # no network; a download that is not what its hash promises
        reason = f"the ImageNet weights of {backbone.name} cannot be fetched ({_first_line(error)})"
        raise ConfigError("weights", f"{reason}: connect to the internet once, or give a file") from error


def _into_backbone(backbone: Backbone, saved: StateDict, source: str) -> Loaded:
    """Loads what the backbone has; layers behind the embedding, which were cut off, may be in `saved` too."""
    whole = backbone.nodes.state_dict()
    # Batch counters came to PyTorch after many published files, and nothing here reads them.
    wanted = {name: value for name, value in whole.items() if name in saved or not name.endswith(_COUNTER)}
    _check(wanted, saved, source)
    backbone.nodes.load_state_dict({**whole, **{name: saved[name] for name in wanted}})
    return Loaded(len(wanted))


def _into_network(network: Network, saved: StateDict, source: str, renamed: Sequence[str]) -> Loaded:
    """Loads everything but heads for other labels, which start anew: one's own catalogue has its own labels."""
    whole = network.state_dict()
    shape_of = {name: value.shape for name, value in saved.items()}
    new_heads = tuple(
        column
        for column in network.columns
        if column in renamed
        or shape_of.get(f"heads.{module_name(column)}.directions") != network.head(column).directions.shape
    )
    left = tuple(f"heads.{module_name(column)}." for column in new_heads)
    wanted = {name: value for name, value in whole.items() if not name.startswith(left)}
    _check(wanted, saved, source)
    network.load_state_dict({**whole, **{name: saved[name] for name in wanted}})
    return Loaded(len(wanted), new_heads)


def _check(wanted: StateDict, saved: StateDict, source: str) -> None:
    missing = [name for name in wanted if name not in saved]
    if missing:
        raise ConfigError("weights", f"{source} lacks {_listed(missing)} of {len(wanted)} tensors")
    other = [name for name in wanted if saved[name].shape != wanted[name].shape]
    if other:
        first = other[0]
        shapes = f"{first} is {tuple(saved[first].shape)} there and {tuple(wanted[first].shape)} here"
        raise ConfigError(
            "weights", f"{source} has other shapes in {_listed(other)} of {len(wanted)} tensors ({shapes})"
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
