"""ImageNet weights resolve in order: folder, cache, hub; without any, the message says what to do."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file, save

from derm_core.config import BackboneConfig
from derm_core.errors import WeightsUnavailable
from derm_core.nets.backbone import build_backbone, load_imagenet, make_extractor
from derm_core.nets.batchnorm import match_statistics
from derm_core.nets.weights import imagenet_status

RESNET = BackboneConfig(architecture="resnet18", stage=1)


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """No weights folder, an empty cache, and a hub that refuses connections."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DERM_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "weights").mkdir()
    return tmp_path


def resnet_bytes() -> bytes:
    """A whole random ResNet-18 classifier as safetensors."""
    import timm

    torch.manual_seed(11)
    return save(timm.create_model("resnet18", pretrained=False).state_dict())


@pytest.fixture
def hub(alone, monkeypatch):
    """A local stand-in for the hub that serves one file of timm/resnet18.tv_in1k, and counts requests."""
    payload = resnet_bytes()

    class Handler(BaseHTTPRequestHandler):
        requests: ClassVar[list[str]] = []

        def _answer(self, body: bool) -> None:
            Handler.requests.append(f"{self.command} {self.path}")
            if (
                self.path.split("?")[0] != "/timm/resnet18.tv_in1k/resolve/main/model.safetensors"
                and "/resolve/" + "c" * 40 not in self.path
            ):
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("X-Repo-Commit", "c" * 40)
            self.send_header("ETag", f'"{hashlib.sha256(payload).hexdigest()}"')
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            if body:
                self.wfile.write(payload)

        def do_HEAD(self):
            self._answer(False)

        def do_GET(self):
            self._answer(True)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield Handler
    server.shutdown()
    server.server_close()


def test_without_any_source_one_message_names_what_and_what_to_do(alone):
    with pytest.raises(WeightsUnavailable) as failure:
        load_imagenet(RESNET)
    message = str(failure.value)
    assert "resnet18" in message and "stage 1" in message and "DERM_WEIGHTS" in message
    assert "go online" in message and "another arm" in message
    assert str(alone) not in message  # studies keep it, and reports of theirs are shared
    assert imagenet_status(RESNET)["available"] is False


def test_offline_mode_asks_nobody(hub, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsUnavailable, match="HF_HUB_OFFLINE"):
        load_imagenet(RESNET)
    assert hub.requests == [] and imagenet_status(RESNET)["source"] == "none"


@pytest.mark.slow
def test_the_hub_is_asked_once_and_then_the_cache_serves(hub, monkeypatch):
    assert imagenet_status(RESNET)["source"] == "hub" and hub.requests == []
    backbone, info = load_imagenet(RESNET)
    assert info["source"] == "hub" and "resnet18.tv_in1k" in info["file"] and info["license"]
    payload = resnet_bytes()
    assert info["sha256"] == hashlib.sha256(payload).hexdigest()
    assert sum(r.startswith("GET") and "model.safetensors" in r for r in hub.requests) == 1
    asked = len(hub.requests)
    assert imagenet_status(RESNET) == {
        "available": True,
        "source": "cache",
        "detail": "timm/resnet18.tv_in1k",
    }
    again, info = load_imagenet(RESNET)
    assert info["source"] == "cache" and len(hub.requests) == asked
    assert all(torch.equal(a, b) for a, b in zip(backbone.parameters(), again.parameters()))


def test_a_file_the_hub_lacks_gives_the_message(hub):
    with pytest.raises(WeightsUnavailable, match="404"):
        load_imagenet(BackboneConfig(architecture="regnety_002", stage=1))


def write_weights(folder, **changes) -> None:
    card = {
        "architecture": "resnet18",
        "last_stage": 2,
        "complete": False,
        "model_args": {},
        "mean": [0.1, 0.2, 0.3],
        "std": [1, 1, 1],
        "license": "test",
        **changes,
    }
    state = build_backbone(BackboneConfig(architecture="resnet18", stage=2), 5).body.state_dict()
    (folder / "mine.safetensors").write_bytes(
        save({key: value.half() for key, value in state.items()})
    )
    (folder / "mine.json").write_text(json.dumps(card))


@pytest.mark.slow
def test_the_folder_comes_first_and_says_where_it_ends(hub, alone):
    write_weights(alone / "weights")
    backbone, info = load_imagenet(BackboneConfig(architecture="resnet18", stage=2))
    assert (info["source"], info["file"], info["license"]) == ("folder", "mine.safetensors", "test")
    assert info["mean"] == [0.1, 0.2, 0.3] and hub.requests == []
    assert {p.dtype for p in backbone.parameters()} == {torch.float32}
    deeper = imagenet_status(BackboneConfig(architecture="resnet18", stage=3))
    assert not deeper["available"] and "ends at stage 2" in deeper["detail"]


def test_a_file_that_does_not_fit_is_not_half_loaded(alone):
    write_weights(alone / "weights", complete=True)
    with pytest.raises(WeightsUnavailable, match="layer3"):
        load_imagenet(BackboneConfig(architecture="resnet18", stage=3))


def test_a_broken_sidecar_is_named(alone):
    write_weights(alone / "weights")
    (alone / "weights" / "mine.json").write_text("{")
    assert "mine.json" in imagenet_status(RESNET)["detail"]


def test_status_needs_no_torch(alone):
    code = (
        "import sys; from derm_core.nets.weights import imagenet_status; "
        "from derm_core.config import BackboneConfig; imagenet_status(BackboneConfig()); "
        "assert 'torch' not in sys.modules and 'timm' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def real_images(shared, size: int, count: int = 48) -> torch.Tensor:
    """uint8 (count, size, size, 3) from HAM10000, spread over the whole set."""
    import numpy as np
    from PIL import Image, ImageOps

    files = sorted((shared / "data" / "ham10000").rglob("*.jpg"))
    chosen = files[:: len(files) // count][:count]
    return torch.from_numpy(
        np.stack(
            [
                np.asarray(
                    ImageOps.fit(
                        Image.open(f).convert("RGB"), (size, size), Image.Resampling.BICUBIC
                    )
                )
                for f in chosen
            ]
        )
    )


def train_eval_correlation(backbone, info, images) -> float:
    extractor = make_extractor("imagenet", backbone, info["mean"], info["std"], info)
    with torch.no_grad():
        evaluated = extractor.features(images)
        trained = backbone.train().pooled(extractor.normalise(images))
    return torch.corrcoef(torch.stack([evaluated.flatten(), trained.flatten()]))[0, 1].item()


# stage, width, and the image size at which the file's batch-norm statistics were taken
REAL = {"resnet18": (3, 256, 128), "mobilenetv2_100": (4, 320, 224)}


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("architecture", REAL)
def test_real_weights_load_and_train_mode_agrees_with_eval_mode(shared, monkeypatch, architecture):
    """Batch-norm statistics must fit the weights, else fine-tuning starts from another function."""
    stage, width, size = REAL[architecture]
    monkeypatch.setenv("DERM_WEIGHTS", str(shared / "weights"))
    config = BackboneConfig(architecture=architecture, stage=stage)
    assert imagenet_status(config)["source"] == "folder"
    backbone, info = load_imagenet(config)
    assert backbone.width == width and len(info["license"]) > 5 and len(info["sha256"]) == 64
    stored = load_file(next((shared / "weights").glob(f"{architecture}*.safetensors")))
    assert all(
        torch.equal(value, stored[key].float()) for key, value in backbone.body.named_parameters()
    )
    assert train_eval_correlation(backbone, info, real_images(shared, size)) > 0.97


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("architecture", REAL)
def test_matched_statistics_agree_at_64_px_and_keep_eval_mode(shared, monkeypatch, architecture):
    monkeypatch.setenv("DERM_WEIGHTS", str(shared / "weights"))
    backbone, info = load_imagenet(
        BackboneConfig(architecture=architecture, stage=REAL[architecture][0])
    )
    images = real_images(shared, 64, 128)
    x = make_extractor("imagenet", backbone, info["mean"], info["std"]).normalise(images)
    with torch.no_grad():
        before = backbone.eval().pooled(x[64:])
        match_statistics(backbone, x[:64])
        after = backbone.eval().pooled(x[64:])
    assert (before - after).norm() / before.norm() < 1e-3
    assert train_eval_correlation(backbone, info, images[:64]) > 0.999
    assert train_eval_correlation(backbone, info, images[64:]) > 0.8
