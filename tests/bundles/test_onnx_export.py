"""Models as ONNX: onnxruntime computes what the product computes, and the file says how to use it."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from derm_core import cli
from derm_core.bundles import onnx_export
from derm_core.bundles.bundle import Bundle, load_bundle
from derm_core.bundles.onnx_export import export_onnx, require_onnx
from derm_core.bundles.predictor import Predictor
from derm_core.errors import BundleError
from derm_core.nets.backbone import normalise
from derm_core.nets.head import Classifier, make_head
from derm_core.nets.pretrained import build_pretrained
from tests.bundles.cards import make_card, save_bundle

LIMIT = 1e-4


def images(count, size, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


def run(data, pictures):
    """{output: value} of an ONNX file under onnxruntime."""
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"images": pictures}), strict=True))


def facts_of(data):
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return json.loads(session.get_modelmeta().custom_metadata_map["derm"])


@pytest.fixture
def needs_onnx():
    for name in (*onnx_export.NEEDED, "onnxruntime"):
        pytest.importorskip(name)


@pytest.mark.slow
@pytest.mark.usefixtures("needs_onnx")
def test_a_shipped_classifier_gives_the_probabilities_of_the_product(workspace):
    bundle = load_bundle("vae-resnet18-64", workspace)
    model, predictor = export_onnx(bundle), Predictor(load_bundle("vae-resnet18-64", workspace))
    assert model.difference is not None and model.difference <= LIMIT
    for count in (1, 5):
        pictures = images(count, 64)
        outputs = run(model.data, pictures)
        features, logits = predictor.features_and_logits(pictures)
        np.testing.assert_allclose(outputs["features"], features, atol=LIMIT)
        np.testing.assert_allclose(outputs["logits"], logits, atol=LIMIT)
        np.testing.assert_allclose(
            outputs["probabilities"], predictor.predict(pictures), atol=LIMIT
        )
    facts = facts_of(model.data)
    assert facts["classes"] == list(bundle.card.classes)
    assert facts["temperature"] == bundle.card.temperature.value
    assert (
        facts["input"]["shape"] == ["N", 64, 64, 3]
        and "(bicubic, antialiased)" in facts["input"]["preparation"]
    )
    shares = np.array([facts["class_shares"][name] for name in facts["classes"]])
    plain = np.exp(outputs["logits"] - outputs["logits"].max(1, keepdims=True))
    adjusted = (plain / shares).argmax(1)  # as facts["decision"] says
    np.testing.assert_array_equal(adjusted, predictor.adjusted(predictor.predict(pictures)))


@pytest.mark.slow
@pytest.mark.usefixtures("needs_onnx")
def test_a_shipped_extractor_gives_features_and_latents(workspace):
    bundle = load_bundle("skin-vae-resnet18-64", workspace)
    pictures = images(3, 64)
    outputs = run(export_onnx(bundle).data, pictures)
    np.testing.assert_allclose(outputs["features"], bundle.features(pictures), atol=LIMIT)
    np.testing.assert_allclose(outputs["latents"], bundle.latents(pictures), atol=LIMIT)


@pytest.mark.slow
@pytest.mark.usefixtures("needs_onnx")
def test_the_command_writes_the_file_and_what_differs_is_refused(
    shelf, classifier, card, tmp_path, capsys, monkeypatch
):
    save_bundle(shelf.models / "small", classifier, {**card, "interpolation": "bilinear"})
    file = tmp_path / "small.onnx"
    argv = ["models", "export", "small", "--onnx", "--out", str(file)]
    assert cli.main([*argv, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["outputs"] == ["features", "logits", "probabilities"]
    assert value["difference"] <= LIMIT and value["bytes"] == file.stat().st_size
    facts = facts_of(file.read_bytes())
    assert facts["classes"] == ["a", "b", "c"]
    assert "(bilinear, antialiased)" in facts["input"]["preparation"]
    assert cli.main([*argv, "--private"]) == 1
    monkeypatch.setattr(onnx_export, "PARITY", -1.0)
    file.unlink()
    assert cli.main(argv) == 1
    assert "was not written" in capsys.readouterr().err and not file.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("needs_onnx")
def test_a_whole_transformer_is_exported_for_any_number_of_images(tmp_path):
    tiny = {"depth": 1, "embed_dim": 16, "num_heads": 2}
    network = build_pretrained("vit_tiny_patch16_224", 32, "mean", tiny)
    card = make_card(architecture="vit_tiny_patch16_224", stage=-1, features=network.width)
    classifier = Classifier(network, make_head(network.width, 8, 3, 0)).eval()
    data = export_onnx(Bundle("small", tmp_path, card, classifier)).data
    pictures = images(7, 32)
    with torch.inference_mode():
        logits = classifier(normalise(torch.from_numpy(pictures), card.mean, card.std))
    np.testing.assert_allclose(run(data, pictures)["logits"], logits.numpy(), atol=LIMIT)


def test_large_features_may_differ_by_their_last_digits_and_probabilities_may_not():
    large = np.array([[3000.0, -0.5]], np.float32)
    ours = {"features": large, "logits": large, "probabilities": np.array([[0.5, 0.5]])}
    near = ours | {"features": large * (1 + 5e-5)}
    assert 4e-5 < onnx_export._parity("small", near, ours) < 6e-5
    for name, error in (("features", 1.0), ("logits", [[0.0, 2e-4]]), ("probabilities", 2e-4)):
        with pytest.raises(BundleError, match=f"computes other {name} than"):
            onnx_export._parity("small", ours | {name: ours[name] + error}, ours)
    with pytest.raises(BundleError, match="computes other logits than"):
        onnx_export._parity("small", ours | {"logits": large * np.nan}, ours)


def test_a_network_above_two_gigabytes_is_refused(classifier, tmp_path, monkeypatch):
    class Proto:
        metadata_props = SimpleNamespace(add=lambda **entry: None)

        def SerializeToString(self):
            raise ValueError("Message onnx.ModelProto exceeds maximum protobuf size of 2GB")

    monkeypatch.setattr(onnx_export, "require_onnx", lambda: None)
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: SimpleNamespace(model_proto=Proto()))
    with pytest.raises(BundleError, match=r"small .* at most 2 GB: publish a smaller network"):
        export_onnx(Bundle("small", tmp_path, make_card(), classifier))


def test_missing_packages_are_named_with_what_to_install(monkeypatch):
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None)
    with pytest.raises(BundleError, match=r"onnx and onnxscript, which are not installed.*onnx\]"):
        require_onnx()
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: name == "onnx" or None)
    with pytest.raises(BundleError, match="needs onnxscript, which is not installed"):
        require_onnx()
