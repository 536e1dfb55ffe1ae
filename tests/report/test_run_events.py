"""Live curves of a run by arm, whatever its name."""

from derm_core.report.run_events import RunEvents


def test_curves_belong_to_arms_whose_names_have_slashes_too():
    events = RunEvents()
    for series in (
        "vae/train/loss",
        "hf-hub:owner/net@32/val/balanced_accuracy",
        "train/loss",
        "loss",
    ):
        events.add(
            [{"kind": "metric", "series": series, "value": [0.5, 0.7], "epoch": 1.0, "step": 3}]
        )
    curves = events.curves()
    assert list(curves) == ["vae", "hf-hub:owner/net@32"]
    assert list(curves["vae"]["train_loss"]) == [0.5, 0.7]
    assert list(curves["hf-hub:owner/net@32"]["val_balanced_accuracy"]) == [0.5, 0.7]
