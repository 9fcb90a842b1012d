"""Backbones, their layers and stages, and the weights they start from."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
torchvision = pytest.importorskip("torchvision")

from training.networks.backbones import Backbone  # noqa: E402
from training.networks.network import Design, Network, Part  # noqa: E402
from training.networks.plans import PLANS  # noqa: E402
from training.networks.weights import start_from  # noqa: E402
from vitrine.runtime.errors import ConfigError  # noqa: E402

HEADS = {"kind": 3}
SMALL = Design("small_cnn")


@pytest.mark.parametrize(
    ("name", "layer", "dim"),
    [
        ("small_cnn", "", 64),
        ("resnet18", "", 512),
        ("resnet18", "layer3", 256),
        ("resnet50", "", 2048),
        ("resnetv2_50x1_bit", "", 2048),
    ],
)
def test_a_backbone_embeds_pictures_of_any_size_from_32_pixels(name: str, layer: str, dim: int) -> None:
    backbone = Backbone(name, layer).eval()
    for px in (32, 48):
        with torch.inference_mode():
            features, maps = backbone(torch.rand(2, 3, px, px))
        assert features.shape == (2, dim) == (2, backbone.dim)
        assert maps[0].shape[-1] == px // 8
        assert [found.shape[1] for found in maps] == backbone.map_channels


@pytest.mark.parametrize("layer", ["layer4", "layer4.1", "layer4.1.relu_1"])
def test_the_end_of_a_map_can_be_the_layer_by_any_of_its_names(layer: str) -> None:
    with torch.inference_mode():
        features, maps = Backbone("resnet18", layer).eval()(torch.rand(2, 3, 64, 64))
    assert torch.equal(features, maps[-1].mean(dim=(2, 3)))


def test_the_reference_network_is_small() -> None:
    count = sum(weights.numel() for weights in Backbone("small_cnn").parameters())
    assert 600_000 < count < 800_000


def test_vgg_16_fc1_is_the_layer_after_the_first_of_its_classifier() -> None:
    torch.manual_seed(1)
    whole = torchvision.models.vgg16().eval()
    backbone = Backbone("vgg16", "fc1").eval()
    backbone.nodes.load_state_dict(whole.state_dict(), strict=False)
    pictures = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        expected = whole.classifier[:2](whole.avgpool(whole.features(pictures)).flatten(1))
        assert torch.equal(backbone(pictures)[0], expected)


@pytest.mark.parametrize(("name", "layer"), [("resnet19", ""), ("resnet18", "layer9"), ("vgg16", "classifier.7")])
def test_an_unknown_backbone_or_layer_is_named_with_those_there_are(name: str, layer: str) -> None:
    with pytest.raises(ConfigError, match=layer or name) as caught:
        Backbone(name, layer)
    assert caught.value.field == ("layer" if layer else "backbone")


def test_frozen_stages_get_no_gradient_and_keep_their_statistics() -> None:
    network = Network(Design("resnet18"), HEADS)
    network.backbone.freeze(3)
    network.train()
    before = {name: value.clone() for name, value in network.backbone.nodes.state_dict().items()}
    network.logits(network(torch.rand(4, 3, 32, 32)), "kind").sum().backward()
    frozen = ("conv1", "bn1", "layer1", "layer2")
    for name, weights in network.backbone.nodes.named_parameters():
        assert (weights.grad is None) == name.startswith(frozen)
    changed = {
        name.split(".")[0]
        for name, value in network.backbone.nodes.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {"layer3", "layer4"}


@pytest.mark.parametrize("name", ["vgg16", "resnetv2_50x1_bit", "small_cnn"])
def test_every_named_stage_exists(name: str) -> None:
    backbone = Backbone(name)
    backbone.freeze(len(PLANS[name].stages))
    learning = {name for name, weights in backbone.nodes.named_parameters() if weights.requires_grad}
    assert learning
    assert all(name.startswith(("classifier", "norm", "embedding")) for name in learning)


def test_more_frozen_stages_than_there_are_are_refused() -> None:
    with pytest.raises(ConfigError, match="freeze: 6, but resnet18 has 5 stages"):
        Backbone("resnet18").freeze(6)


def test_published_backbone_weights_start_a_network(tmp_path: Path) -> None:
    published = torchvision.models.resnet18()
    # Files of that time have no batch counters, and a classifier that is cut off here.
    state = {name: value for name, value in published.state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "resnet18.pth")
    network = Network(Design("resnet18"), HEADS)
    start_from(network, str(tmp_path / "resnet18.pth"))
    assert torch.equal(network.backbone.nodes.get_submodule("layer4.1.conv2").weight, published.layer4[1].conv2.weight)


@pytest.mark.parametrize("key", ["weights", "w", None])
def test_a_network_starts_from_another_and_only_heads_for_other_labels_start_anew(
    tmp_path: Path, key: str | None
) -> None:
    parts = (Part("all", 16, 1.0, ("kind", "colour")),)
    old = Network(Design("small_cnn", "", parts), {"kind": 3, "colour": 5})
    state = old.state_dict()
    torch.save(state if key is None else {key: state, "epoch": 3}, tmp_path / "old.pt")
    network = Network(Design("small_cnn", "", parts), {"kind": 3, "colour": 7})
    loaded = start_from(network, str(tmp_path / "old.pt"))
    assert loaded.new_heads == ("colour",)
    assert torch.equal(network.state_dict()["parts.of_all.weight"], state["parts.of_all.weight"])
    assert torch.equal(network.head("kind").directions, old.head("kind").directions)


def test_weights_of_the_time_before_heads_and_parts_had_a_prefix_are_read(tmp_path: Path) -> None:
    design = Design("small_cnn", "", (Part("all", 16, 1.0, ("kind",)),))
    old = Network(design, HEADS)
    torch.save({"w": {name.replace(".of_", "."): value for name, value in old.state_dict().items()}}, tmp_path / "old")
    network = Network(design, HEADS)
    assert start_from(network, str(tmp_path / "old")).new_heads == ()
    assert all(torch.equal(value, old.state_dict()[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["type", "half", "values", "items", "keys", "a.b", "Article type", "100 %", "of_"])
def test_columns_and_parts_can_have_any_name(name: str) -> None:
    network = Network(Design("small_cnn", "", (Part(name, 16, 1.0, (name,)),)), {name: 3})
    seen = network(torch.rand(2, 3, 32, 32))
    assert network.columns == (name,)
    assert network.logits(seen, name).shape == (2, 3)
    assert network.embedding(seen).shape == (2, 16)


def test_names_that_differ_in_a_dot_alone_have_heads_of_their_own() -> None:
    network = Network(SMALL, {"a.b": 3, "a%2Eb": 5})
    assert [len(network.head(column).directions) for column in network.columns] == [3, 5]


@pytest.mark.parametrize(
    ("name", "dim", "weight", "columns"),
    [
        ("", 16, 1.0, ("kind",)),
        ("look", 0, 1.0, ("kind",)),
        ("look", 16, 0.0, ("kind",)),
        ("look", 16, float("nan"), ("kind",)),
        ("look", 16, float("inf"), ("kind",)),
        ("look", 16, 1.0, ()),
    ],
)
def test_a_part_that_makes_no_sense_is_refused(name: str, dim: int, weight: float, columns: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        Part(name, dim, weight, columns)
    assert caught.value.field == "part"
    assert name in caught.value.reason


def test_two_parts_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="part: 'look' is the name of more than one part"):
        Design("small_cnn", "", (Part("look", 16, 1.0, ("kind",)), Part("look", 8, 1.0, ("colour",))))


def test_a_part_of_a_column_without_head_is_refused_with_the_columns_there_are() -> None:
    design = Design("small_cnn", "", (Part("look", 16, 1.0, ("kind", "color")),))
    with pytest.raises(ConfigError, match="part: 'look' names the column 'color', which is none of kind, colour"):
        Network(design, {"kind": 3, "colour": 5})


def test_weights_that_do_not_fit_are_refused_with_names_and_counts(tmp_path: Path) -> None:
    file = tmp_path / "other.pt"
    torch.save(Network(SMALL, HEADS).state_dict(), file)
    with pytest.raises(ConfigError, match=r"lacks backbone\.nodes\.layer1\S+ .* and \d+ more of \d+ tensors"):
        start_from(Network(Design("resnet18"), HEADS), str(file))
    state = Network(SMALL, HEADS).state_dict()
    torch.save({**state, "backbone.nodes.embedding.bias": torch.zeros(32)}, file)
    with pytest.raises(ConfigError, match=r"other shapes in .*embedding\.bias of .* is \(32,\) there and \(64,\) here"):
        start_from(Network(SMALL, HEADS), str(file))


@pytest.mark.parametrize("content", [b"", b"no weights at all", b"PK\x03\x04 half a file"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.pt"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"broken\.pt cannot be read as weights"):
        start_from(Network(SMALL, HEADS), str(file))


def test_a_missing_file_and_unpublished_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        start_from(Network(SMALL, HEADS), str(tmp_path / "none.pt"))
    with pytest.raises(ConfigError, match="nobody publishes ImageNet weights for small_cnn"):
        start_from(Network(SMALL, HEADS), "imagenet")


def test_without_a_network_imagenet_weights_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(ConfigError, match=r"weights of resnet18 cannot be fetched \(.*connect to the internet"):
        start_from(Network(Design("resnet18"), HEADS), "imagenet")
