"""Networks of their own: ten families of transformers at several sizes, their pooling, and where weights come from."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
import timm
import torch
from safetensors.torch import save

from derm_core.arms import own_architecture
from derm_core.errors import ConfigError, WeightsUnavailable
from derm_core.nets.backbone import make_extractor
from derm_core.nets.pretrained import build_pretrained, load_pretrained
from derm_core.nets.pretrained_sources import pretrained_status

from .families import FAMILIES, STAGED, TINY

VIT = "vit_tiny_patch16_224"


def images(size, count=2):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(size))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", FAMILIES)
def test_families_of_transformers_read_images_of_any_size(architecture):
    for size in (112, 224):
        network = build_pretrained(architecture, size, model_args=FAMILIES[architecture])
        with torch.no_grad():
            features = network.pooled(images(size))
        assert features.shape == (2, network.width) and features.dtype == torch.float32
        assert torch.isfinite(features).all() and not torch.equal(features[0], features[1])


@pytest.mark.slow
def test_tokens_are_pooled_as_asked_for():
    usual, token, mean, both = (
        build_pretrained(VIT, 96, tokens, TINY) for tokens in ("", "token", "mean", "both")
    )
    with torch.no_grad():
        tokens_bnd = usual.body.forward_features(images(96))
        of = {name: net.pooled(images(96)) for name, net in (("", usual), ("both", both))}
        of |= {"token": token.pooled(images(96)), "mean": mean.pooled(images(96))}
    assert tokens_bnd.shape[1] == 1 + 36  # the class token, then 6 x 6 patches
    torch.testing.assert_close(of["token"], tokens_bnd[:, 0])
    torch.testing.assert_close(of["mean"], tokens_bnd[:, 1:].mean(1))
    torch.testing.assert_close(of["both"], torch.cat([of["token"], of["mean"]], 1))
    torch.testing.assert_close(of[""], of["token"])  # as its configuration says
    identities = {
        make_extractor("timm:x", net, (0.5,) * 3, (0.5,) * 3).identity
        for net in (usual, token, mean)
    }
    assert len(identities) == 3  # features of one pooling are never read from the cache of another


@pytest.mark.slow
def test_the_mean_of_a_map_is_over_its_positions_whatever_its_layout():
    swin = build_pretrained("swin_tiny_patch4_window7_224", 112, "mean", STAGED)
    with torch.no_grad():
        map_bhwd = swin.body.forward_features(images(112))
        torch.testing.assert_close(swin.pooled(images(112)), map_bhwd.mean((1, 2)))


@pytest.mark.slow
def test_what_a_network_cannot_do_is_said_with_what_it_can():
    with pytest.raises(ConfigError, match="no class token"):
        build_pretrained("swin_tiny_patch4_window7_224", 112, "token", STAGED)
    with pytest.raises(ConfigError, match="cannot read 8 × 8 pixels"):
        build_pretrained(VIT, 8, "", TINY)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "tokens"),
    [
        ("pit_ti_224", "mean"),  # gives its class token alone
        ("pit_ti_224", "both"),
        ("volo_d1_224", "mean"),  # does not say how many tokens stand before the patches
        ("coat_tiny", "mean"),  # gives several scales
        ("coat_tiny", "token"),
    ],
)
def test_a_mean_of_patches_that_holds_no_patches_or_the_class_token_is_refused(
    architecture, tokens
):
    missing = "no class token" if tokens == "token" else "gives no patches"
    with pytest.raises(ConfigError, match=f"{architecture}.*{missing}"):
        build_pretrained(architecture, 64, tokens)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """An empty weights folder, an empty cache, and no hub."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv("DERM_WEIGHTS", str(folder))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return folder


def vit_state():
    torch.manual_seed(5)
    return timm.create_model(VIT, pretrained=False, num_classes=7, **TINY).state_dict()


def load(arm):
    return load_pretrained(arm, own_architecture(arm))


@pytest.mark.slow
def test_a_file_of_the_folder_has_its_own_size_normalisation_and_filter(weights):
    state = vit_state()
    (weights / f"{VIT}.mine.safetensors").write_bytes(save(state))
    card = {
        "architecture": VIT,
        "model_args": TINY,
        "mean": [0.1, 0.2, 0.3],
        "std": [0.4, 0.5, 0.6],
    }
    card |= {"input_size": [3, 64, 64], "interpolation": "bilinear", "pretrained_on": "ISIC 2019"}
    card |= {"num_classes": 7, "license": "CC0"}
    (weights / f"{VIT}.mine.json").write_text(json.dumps(card))
    extractor = load(f"timm:{VIT}")
    assert extractor.mean == (0.1, 0.2, 0.3) and extractor.std == (0.4, 0.5, 0.6)
    assert str(extractor.form) == "64-bilinear" and extractor.info["label"] == VIT
    assert extractor.info["license"] == "CC0" and extractor.info["pretrained_on"] == "ISIC 2019"
    assert extractor.info["pooling"] == "class token"
    kept = extractor.backbone.body.state_dict()
    assert all(torch.equal(kept[key], state[key]) for key in kept)
    other = load(f"timm:{VIT}@96@mean")
    assert str(other.form) == "96-bilinear" and other.identity != extractor.identity
    assert pretrained_status(own_architecture(f"timm:{VIT}.mine")) == "folder"


@pytest.mark.slow
def test_a_file_of_any_name_is_an_arm_and_its_pretraining_is_not_made_up(weights):
    backbone = timm.create_model("resnet10t", pretrained=False, num_classes=3)
    (weights / "mine.safetensors").write_bytes(save(backbone.state_dict()))
    extractor = load("file:mine.safetensors+resnet10t@48")
    assert extractor.input_size == 48 and extractor.backbone.width == 512
    assert extractor.info["pretrained_on"] == "not stated"
    (weights / "owner--name.safetensors").write_bytes(save(backbone.state_dict()))
    (weights / "owner--name.json").write_text('{"architecture": "resnet10t"}')
    assert load("hf-hub:owner/name@48").info["pretrained_on"] == "not stated"
    with torch.no_grad():
        expected = backbone.eval().forward_features(images(48)).mean((2, 3))
        torch.testing.assert_close(extractor.backbone.pooled(images(48)), expected)
    with pytest.raises(
        WeightsUnavailable, match=r"mine\.safetensors .* cannot be used for resnet18"
    ):
        load("file:mine.safetensors+resnet18@48")


def test_without_weights_one_sentence_says_which_file_to_put_where(weights):
    with pytest.raises(WeightsUnavailable) as failure:
        load("timm:vit_small_patch14_dinov2.lvd142m")
    message = str(failure.value)
    assert (
        "put vit_small_patch14_dinov2.lvd142m.safetensors" in message and "DERM_WEIGHTS" in message
    )
    assert str(weights.parent) not in message and "\n" not in message
    with pytest.raises(WeightsUnavailable, match=r"put owner--name\.safetensors"):
        load("hf-hub:owner/name")
    with pytest.raises(
        WeightsUnavailable, match=r"other\.safetensors is not in the weights folder"
    ):
        load("file:other.safetensors+resnet18")
    with pytest.raises(ConfigError, match="allowed: a timm model name"):
        load("timm:resnet1888")
    assert pretrained_status(own_architecture("file:other.safetensors+resnet18")) == "none"


class Hub(BaseHTTPRequestHandler):
    """A local stand-in for the hub: the files of one repository, and another whose terms must be accepted first."""

    files: ClassVar[dict[str, bytes]] = {}

    def _answer(self, body):
        path = self.path.split("?")[0]
        if path.startswith("/closed/"):
            self.send_error(403)
            return
        content = self.files.get(path.replace("/" + "c" * 40 + "/", "/main/"))
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def do_HEAD(self):
        self._answer(False)

    def do_GET(self):
        self._answer(True)

    def log_message(self, *args):
        pass


@pytest.fixture
def hub(weights, monkeypatch):
    config = {"architecture": VIT, "model_args": TINY, "pretrained_cfg": {"tag": "laion2b"}}
    config["pretrained_cfg"] |= {"mean": [0.5] * 3, "std": [0.5] * 3, "input_size": [3, 32, 32]}
    Hub.files = {
        "/owner/name/resolve/main/model.safetensors": save(vit_state()),
        "/owner/name/resolve/main/config.json": json.dumps(config).encode(),
        "/owner/other/resolve/main/model.safetensors": save(vit_state()),
        "/owner/other/resolve/main/config.json": b'{"model_type": "vit"}',
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_a_repository_of_the_hub_is_read_after_its_own_configuration(hub, monkeypatch):
    first = load("hf-hub:owner/name")
    assert first.info["source"] == "hub" and first.input_size == 32 and first.mean == (0.5,) * 3
    assert first.info["pretrained_on"] == "LAION (laion2b) and what its owner may have added"
    assert first.info["license"] == "not stated"
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    again = load("hf-hub:owner/name")
    assert again.info["source"] == "cache" and again.identity == first.identity


@pytest.mark.slow
def test_terms_and_unknown_architectures_of_a_repository_are_said(hub):
    with pytest.raises(
        WeightsUnavailable, match=r"accept its terms at https://huggingface\.co/closed/net"
    ):
        load("hf-hub:closed/net")
    with pytest.raises(WeightsUnavailable, match="names an architecture of timm"):
        load("hf-hub:owner/other")


@pytest.mark.slow
@pytest.mark.shared
def test_the_shared_weights_are_arms(shared, monkeypatch):
    monkeypatch.setenv("DERM_WEIGHTS", str(shared / "weights"))
    resnet, mobilenet = load("timm:resnet18@64"), load("timm:mobilenetv2_100@128")
    assert resnet.info["label"] == "resnet18 to layer3 at 64 px" and resnet.backbone.width == 256
    assert resnet.info["file"] == "resnet18.tv_in1k.layer3.safetensors"
    assert (
        mobilenet.info["label"] == "mobilenetv2_100 at 128 px" and mobilenet.backbone.width == 1280
    )
    assert str(mobilenet.form) == "128-bilinear" and mobilenet.mean == (0.5, 0.5, 0.5)
