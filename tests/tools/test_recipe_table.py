"""docs/recipes.md says what recipe*.json says, and nothing where there is none."""

import json

from tools.recipe_table import ablation_part


def interval(mean, low, high):
    return {"mean": mean, "low": low, "high": high, "se": 0.01, "df": 9.0}


def row(line, accuracy, pretraining=None, **more):
    judged = {
        "balanced_accuracy": interval(accuracy, accuracy - 0.05, accuracy + 0.05),
        "macro_auroc": interval(0.9, 0.88, 0.92),
        "accuracy": interval(0.7, 0.6, 0.8),
        "loss_gap": {"mean": 0.05},
        "accuracy_gap": {"mean": 0.021},
        "val_loss": 1 - accuracy,
        "train_accuracy": 0.8,
    }
    return {
        "line": line,
        "says": f"what | {line} is",
        "input_size": 64,
        "pooling": "pooled",
        "features": 256,
        "pretraining_seeds": 1,
        "labels": {"1": judged, "0.1": {**judged, "balanced_accuracy": interval(0.4, 0.3, 0.5)}},
        "knn": {"accuracy": 0.7, "balanced_accuracy": 0.42},
        "judging_seconds": 60.0,
        **({"pretraining": pretraining} if pretraining else {}),
        **more,
    }


def pretrained(epochs, seconds):
    return {
        "epochs": epochs,
        "seconds": seconds,
        "images_per_s": 200.0,
        "val_pixel_mse": 0.00664,
        "val_active_units": 97.4,
    }


def difference(mean, low, high):
    metric = interval(mean, low, high)
    return {
        "balanced_accuracy": metric,
        "macro_auroc": interval(0.01, -0.01, 0.03),
        "labels_0.1": {"balanced_accuracy": metric},
    }


LEVERS = {
    "ablation": [
        row("imagenet", 0.6),
        row("views", 0.55, pretrained(8, 540.0)),
        row("no-elbo", 0.58, pretrained(8, 300.0), minus_base=difference(0.03, -0.01, 0.07)),
    ],
    "config": {
        "levers": {"dataset": "ham10000", "backbone": {"architecture": "resnet18", "stage": 3}}
    },
    "quick": False,
}


def part(folder, result, name="recipe"):
    (folder / f"{name}.json").write_text(json.dumps(result))
    return ablation_part(folder)


def test_without_a_result_nothing_is_said(tmp_path):
    (tmp_path / "train.json").write_text('{"name": "train"}')
    assert ablation_part(tmp_path) == ""


def test_levers_stand_in_a_table_with_their_difference_and_what_the_pretraining_is_worth(tmp_path):
    lines = part(tmp_path, LEVERS).splitlines()
    assert (
        "ham10000, resnet18 to stage 3" in lines[0]
        and "a VAE: no-elbo" in lines[0]
        and "shortened" not in lines[0]
    )
    assert lines[2].startswith(
        "| line | loss, validation | balanced accuracy | macro-AUROC | balanced accuracy, 10 % | kNN |"
    )
    assert lines[6] == (
        "| no-elbo: what / no-elbo is | 0.420 | 58.0 % (53.0 to 63.0) | 0.900 (0.880 to 0.920) "
        "| 40.0 % (30.0 to 50.0) | 42.0 % | +0.050 | +2.1 | +3.0 (-1.0 to +7.0) | 0.0066 | 97 | 5 |"
    )
    assert lines[4].endswith("| +2.1 | – | – | – | – |"), "ImageNet has no pretraining here"
    assert lines[-1] == "All figures: [recipe.json](../experiments/results/recipe.json)."
    (tmp_path / "recipe.log").write_text("views: epoch 1")
    assert part(tmp_path, LEVERS).endswith(
        "metrics: [recipe.log](../experiments/results/recipe.log)."
    )


def test_the_curve_needs_two_points(tmp_path):
    point = {
        "line": "views",
        **pretrained(8, 540.0),
        "balanced_accuracy": interval(0.55, 0.5, 0.6),
        "macro_auroc": interval(0.9, 0.88, 0.92),
        "labels_0.1": interval(0.4, 0.3, 0.5),
        "knn": {"balanced_accuracy": 0.42},
    }
    assert "Longer" not in part(tmp_path, {**LEVERS, "curve": [point]})
    said = part(tmp_path, {**LEVERS, "curve": [point, {**point, "epochs": 16, "seconds": 1080.0}]})
    row = "| 16 | 18 | 55.0 % (50.0 to 60.0) | 0.900 (0.880 to 0.920) | 40.0 % (30.0 to 50.0) | 42.0 % |"
    assert row in said.splitlines()


def test_finals_name_the_direction_only_where_the_interval_does(tmp_path):
    gaps = {"loss_gap": interval(-0.1, -0.2, -0.02), "accuracy_gap": interval(-0.03, -0.05, -0.01)}

    def with_difference(*span):
        found = {"arms": ["vae", "imagenet"], **difference(*span), **gaps}
        arms = {
            "vae": {**row("vae", 0.58, pretrained(16, 1000.0)), "pretraining_seeds": 3},
            "imagenet": {**row("imagenet", 0.6), "pretraining_seeds": 0},
            "paper": {**row("paper", 0.5, pretrained(32, 900.0)), "pretraining_seeds": 2},
        }
        return part(
            tmp_path,
            {
                "arms": arms,
                "vae_minus_imagenet": found,
                "controls": {
                    "no-elbo": difference(0.0, -0.01, 0.01),
                    "random": difference(0.1, 0.05, 0.2),
                },
            },
        )

    said = with_difference(-0.02, -0.05, 0.01)
    assert "3 pretraining seeds (paper: 2), 95 %" in said
    assert "the winning recipe is above random; not shown to differ from no-elbo." in said
    assert "No difference of VAE and ImageNet is shown: -2.0 (-5.0 to +1.0) points." in said
    assert (
        "| vae − imagenet (same input size) | -2.0 (-5.0 to +1.0) | +0.010 (-0.010 to +0.030) | -2.0 (-5.0 to +1.0) "
        "| -0.100 (-0.200 to -0.020) | -3.0 (-5.0 to -1.0) |"
    ) in said.splitlines()
    assert "| vae − no-elbo | +0.0 (-1.0 to +1.0) |" in said
    assert "is below ImageNet's" in with_difference(-0.04, -0.06, -0.02)
    assert "is above ImageNet's" in with_difference(0.04, 0.02, 0.06)


def test_the_out_of_fold_comparison_speaks_its_own_verdict(tmp_path):
    test = {
        "balanced_accuracy": interval(0.6, 0.58, 0.62),
        "macro_auroc": interval(0.92, 0.91, 0.93),
    }
    verdict = {"headline": "ImageNet wins.", "sentences": ["By a little."]}

    def row(a, b, mean, **more):
        return [
            {"a": a, "b": b, "metric": metric, **interval(mean, mean - 0.01, mean + 0.02), **more}
            for metric in ("balanced_accuracy", "macro_auroc")
        ]

    study = {
        "config": {"folds": 5, "input_size": 64},
        "verdict": verdict,
        "arms": {"vae": {"label": "VAE (from scratch)", "test": test}},
        "differences": row("vae", "imagenet", -0.04) + row("imagenet", "both", -0.03),
        "label_efficiency": {
            "differences": row("vae", "imagenet", 0.05, fraction=0.1)
            + row("vae", "imagenet", 0.5, fraction=1.0)
        },
    }
    best = {
        "input_size": 192,
        "vae_minus_imagenet": {of["metric"]: of for of in row("", "", -0.07)},
        "labels_0.1": {},
    }
    said = part(tmp_path, {"folds": study, "folds_best": best})
    assert "Out-of-fold, 5 folds" in said and "ImageNet wins. By a little." in said
    assert "| VAE (from scratch) | 60.0 % (58.0 to 62.0) | 0.920 (0.910 to 0.930) |" in said
    told = [line for line in said.splitlines() if "− imagenet |" in line]
    assert told == [
        "| vae − imagenet | 64 | all | -4.0 (-5.0 to -2.0) | -0.040 (-0.050 to -0.020) |",
        "| vae − imagenet | 64 | 10 % | +5.0 (+4.0 to +7.0) | +0.050 (+0.040 to +0.070) |",
        "| both − imagenet | 64 | all | +3.0 (+1.0 to +4.0) | +0.030 (+0.010 to +0.040) |",
        "| vae − imagenet | 192 | all | -7.0 (-8.0 to -5.0) | -0.070 (-0.080 to -0.050) |",
    ]


def test_results_of_several_machines_stand_one_after_the_other(tmp_path):
    part(tmp_path, LEVERS)
    said = part(tmp_path, {**LEVERS, "quick": True}, "recipe-h100")
    assert (
        said.index("recipe-h100.json") < said.index("results/recipe.json")
        and said.count("a shortened run") == 1
    )
