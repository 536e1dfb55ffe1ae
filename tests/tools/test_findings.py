"""Each lesson is worded by the sign of its interval; what was not measured is left out."""

import dataclasses

from derm_core.records import to_json
from derm_core.study.verdict import verdict
from tests.study.made_results import made_result
from tools.findings import learned_part, verdict_part


def metric(mean, low, high, **more):
    return {"mean": mean, "low": low, "high": high, **more}


def folds(one, mean, low, high, **more):
    row = {
        "a": one,
        "b": "imagenet",
        "metric": "balanced_accuracy",
        **metric(mean, low, high),
        **more,
    }
    return {
        "config": {"input_size": 64},
        "differences": [row],
        "label_efficiency": {"differences": [{**row, "fraction": 0.1, "p_holm": 0.0312}]},
    }


def test_nothing_measured_is_nothing_said():
    assert learned_part({}) == ""


def test_the_sign_of_the_interval_chooses_the_words():
    for span, word in (
        ((0.03, 0.01, 0.05), "is above"),
        ((-0.03, -0.05, -0.01), "is below"),
        ((0.01, -0.02, 0.04), "no difference"),
    ):
        said = learned_part({"folds": folds("vae", *span)}).splitlines()
        assert (
            word in said[0]
            and "at the same 64 pixels" in said[0]
            and f"{100 * span[0]:+.1f} (" in said[0]
        )
        assert (
            word in said[1]
            and "a tenth of the labels" in said[1]
            and "p = 0.031 after Holm" in said[1]
        )


def test_a_difference_told_the_other_way_round_is_turned():
    study = folds("vae", 0.03, 0.01, 0.05)
    row = study["differences"][0]
    row["a"], row["b"] = row["b"], row["a"]
    assert "is below" in learned_part({"folds": study}) and "-3.0 (-5.0 to -1.0)" in learned_part(
        {"folds": study}
    )


def test_both_the_best_size_the_controls_and_the_curve_each_have_a_line():
    pretraining = {"pretraining": {"val_pixel_mse": 0.00341, "val_active_units": 97.0}}
    point = {"balanced_accuracy": {"mean": 0.6}, "macro_auroc": {"mean": 0.9}, "epochs": 2.0}
    said = learned_part(
        {
            "folds": folds("both", 0.04, 0.02, 0.06),
            "arms": {"vae": pretraining, "paper": pretraining},
            "folds_best": {
                "input_size": 96,
                "vae_minus_imagenet": {"balanced_accuracy": metric(-0.03, -0.05, -0.01)},
            },
            "controls": {
                "no-consistency": {"balanced_accuracy": metric(0.1, 0.05, 0.15)},
                "no-elbo": {"balanced_accuracy": metric(-0.01, -0.05, 0.03)},
            },
            "curve": [point, {**point, "epochs": 16.0, "balanced_accuracy": {"mean": 0.65}}],
        }
    ).splitlines()
    assert [line.split("**")[1] for line in said] == [
        "ImageNet at its best input size, 96 pixels, stays ahead",
        "Both side by side are better than ImageNet alone",
        "The agreement of two views does the work",
        "The ELBO is not shown to help or to harm the features",
        "Longer pretraining",
    ]
    assert (
        "0.0034" in said[3]
        and "97 active units" in said[3]
        and "60.0 % after 2 epochs to 65.0 % after 16 epochs" in said[4]
    )


def test_the_answer_of_a_study_in_folds_is_its_verdict_and_a_line_an_arm():
    pair = ("vae", "imagenet")
    made = made_result((*pair, "random"), {pair: (-0.09, -0.03)})
    study = to_json(dataclasses.replace(made, verdict=verdict(made)))
    lines = verdict_part(study).splitlines()
    assert lines[0] == f"**{study['verdict']['headline']}**"
    assert [line[2:] for line in lines if line.startswith("- ")] == study["verdict"]["sentences"]
    assert [line.split(" | ")[0] for line in lines[-3:]] == [
        f"| {study['arms'][arm]['label']}" for arm in study["arms"]
    ]


def test_what_does_not_hold_after_the_correction_is_not_shown():
    study = folds("vae", 0.02, 0.004, 0.037)
    study["label_efficiency"]["differences"][0]["p_holm"] = 0.08
    assert "no difference is shown" in learned_part({"folds": study}).splitlines()[1]
