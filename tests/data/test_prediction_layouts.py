"""Files of predictions in the layouts that people write are read as what they say; the rest is asked about."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from derm_core.data.prediction_files import bring_predictions
from derm_core.errors import DermError
from tests.predictions import CLASSES, planted

pytestmark = pytest.mark.slow

FULL = ("Actinic keratoses", "Basal cell carcinoma", "Melanoma", "Melanocytic nevi")


@pytest.fixture
def given(workspace):
    return planted(workspace)


def wide(given, names, prefix="", suffix="", **columns) -> pd.DataFrame:
    """Columns given, then one of probabilities a class."""
    scores = {f"{prefix}{name}{suffix}": given.p[:, c] for c, name in enumerate(names)}
    return pd.DataFrame({**columns, **scores})


def numbers(given) -> list[int]:
    return given.labels.tolist()


def scrambled(given) -> tuple[list[int], np.ndarray]:
    """Labels and probabilities whose numbers are 3 − those of the dataset."""
    return [3 - c for c in numbers(given)], given.p[:, ::-1]


def as_lists(given) -> list[str]:
    return [json.dumps(row.tolist()) for row in given.p]


def reversed_numbers(given):
    labels, p = scrambled(given)
    frame = {"filename": [f"/a/b/{i}.jpg" for i in given.ids], "true_label": labels}
    return pd.DataFrame(
        {
            **frame,
            "predicted_label": p.argmax(1),
            **{f"probability_class_{c}": p[:, c] for c in range(4)},
        }
    )


def long_rows(given, names=CLASSES):
    return pd.DataFrame(
        [
            {"image": i, "class": name, "probability": given.p[n, c]}
            for n, i in enumerate(given.ids)
            for c, name in enumerate(names)
        ]
    )


def unnamed_index(given):
    return wide(given, CLASSES, "prob_").set_index(pd.Index(given.ids))


LAYOUTS = {
    "numbered, confirmed by true labels in another order": reversed_numbers,
    "class codes as columns, upper case": lambda g: wide(g, [c.upper() for c in CLASSES], image=g.ids),
    "full names": lambda g: wide(g, FULL, image_id=g.ids),
    "full names with words": lambda g: wide(g, FULL, "P(", ")", image_id=g.ids),
    "prob_ and names": lambda g: wide(g, CLASSES, "prob_", image_name=g.ids),
    "names and _score": lambda g: wide(g, CLASSES, "", "_score", isic_id=g.ids),
    "class names in camel case": lambda g: wide(g, ["AKIEC", "BCC", "MEL", "NV"], "prob", file=g.ids),
    "shuffled columns": lambda g: wide(g, CLASSES, image=g.ids)[["nv", "image", "bcc", "mel", "akiec"]],
    "bare numbers": lambda g: wide(g, range(4), image=g.ids, label=numbers(g)),
    "numbers from 1": lambda g: wide(g, range(1, 5), "p", image=g.ids, target=[c + 1 for c in numbers(g)]),
    "floats as labels": lambda g: wide(g, range(4), "class_", img=g.ids, y_true=[float(c) for c in numbers(g)]),
    "predicted names beside numbers": lambda g: wide(g, range(4), "softmax_", image=g.ids, prediction=g.decided),
    "an unnamed index": unnamed_index,
    "paths of Windows": lambda g: wide(g, CLASSES, image_path=[rf"D:\data\{i}.JPG" for i in g.ids]),
    "lower case and another suffix": lambda g: wide(g, CLASSES, image=[f"{i.lower()}.png" for i in g.ids]),
    "a JSON list": lambda g: pd.DataFrame(
        {"filename": g.ids, "label": g.names, "pred": g.decided, "probs": as_lists(g), "classes": 4}
    ),
    "a NumPy array as text": lambda g: pd.DataFrame(
        {"filename": g.ids, "label": numbers(g), "probabilities": [str(row) for row in g.p]}
    ),
    "a JSON object": lambda g: pd.DataFrame(
        {"id": g.ids, "scores": [json.dumps(dict(zip(FULL, row.tolist(), strict=True))) for row in g.p]}
    ),
    "a row for each image and class": long_rows,
    "the same with numbers and truth": lambda g: long_rows(g, range(4)).assign(true_label=np.repeat(numbers(g), 4)),
    "percentages": lambda g: pd.DataFrame(100 * g.p, columns=CLASSES).assign(image=g.ids),
    "logits": lambda g: pd.DataFrame(
        {"image": g.ids, **{f"logit_{c}": np.log(g.p[:, i]) + 3 for i, c in enumerate(CLASSES)}}
    ),
    "logarithms": lambda g: pd.DataFrame(
        {"image": g.ids, **{f"log_prob_{c}": np.log(g.p[:, i]) for i, c in enumerate(CLASSES)}}
    ),
    "logits beside probabilities": lambda g: wide(g, CLASSES, "prob_", image=g.ids).assign(
        **{f"logit_{c}": np.log(g.p[:, i]) + 3 for i, c in enumerate(CLASSES)}
    ),
    "other columns of numbers": lambda g: wide(
        g, CLASSES, "prob_", image=g.ids, age=50, loss=0.3, confidence=g.p.max(1), correct=[True] * len(g.ids)
    ),
    "a column of the model": lambda g: wide(g, CLASSES, image=g.ids, model="a network"),
    "columns named after the model": lambda g: wide(g, CLASSES, "resnet50_prob_", image=g.ids),
    "a further class": lambda g: wide(g, CLASSES, image=g.ids).assign(scc=0.0),
    "one-hot truth": lambda g: wide(
        g, CLASSES, "pred_", image=g.ids, **{f"true_{c}": np.eye(4)[g.labels][:, i] for i, c in enumerate(CLASSES)}
    ),
    "numbers and names": lambda g: wide(g, [f"{i}_{c}" for i, c in enumerate(CLASSES)], "prob_", image=g.ids),
    "the truth under the bare names": lambda g: pd.DataFrame(np.eye(4)[g.labels], columns=CLASSES)
    .assign(image=g.ids)
    .join(wide(g, CLASSES, "score_")),
    "patients, lesions and sites beside": lambda g: wide(
        g, CLASSES, patient_id="P1", lesion_id=[f"L{i}" for i in g.ids], image=g.ids, age=50, site="back"
    ),
    "a repeated model name with numbers": lambda g: wide(g, CLASSES, "vit_b16_", image=g.ids, prediction=g.decided),
    "statistics of the scores beside": lambda g: wide(
        g, CLASSES, "prob_", image=g.ids, max_prob=g.p.max(1), top1_prob=g.p.max(1), prob_margin=0.2, entropy=0.5
    ),
    "the same beside logits": lambda g: pd.DataFrame(
        {"image": g.ids, "max_logit": 9.0, **{f"logit_{c}": np.log(g.p[:, i]) for i, c in enumerate(CLASSES)}}
    ),
    "coarser true labels": lambda g: wide(g, CLASSES, image=g.ids, benign_malignant=["benign", "malignant"] * 40),
    "coarser true numbers": lambda g: wide(g, CLASSES, image=g.ids, target=[0, 1] * 40),
    "negative rounding": lambda g: wide(g, CLASSES, image=g.ids, comment="").assign(scc=-1e-9),
    "headings in words": lambda g: wide(
        g, [f"Class {c}" for c in range(4)], "Probability ", **{"Image Name": g.ids, "Ground Truth": numbers(g)}
    ),
    "semicolons and decimal commas": lambda g: wide(g, CLASSES, image=g.ids),
}  # fmt: skip


@pytest.mark.parametrize("kind", LAYOUTS)
def test_every_layout_gives_the_same_probabilities(given, tmp_path, kind):
    frame, path = LAYOUTS[kind](given), tmp_path / "network.csv"
    index = kind == "an unnamed index"
    if kind.startswith("semicolons"):
        frame.to_csv(path, index=False, sep=";", decimal=",")
    else:
        frame.to_csv(path, index=index)
    brought = bring_predictions(given.dataset, [path])
    (one,) = brought.models
    assert one.rows.tolist() == given.rows.tolist()
    assert np.allclose(one.probabilities[0, :, :4], given.p, atol=1e-6)
    assert (one.decisions[0] == given.p.argmax(1)).all()


JSON = {
    "rows": lambda g: wide(g, CLASSES, image=g.ids).to_dict("records"),
    "an object of lists": lambda g: dict(zip(g.ids, g.p.tolist(), strict=True)),
    "an object of objects": lambda g: {
        i: dict(zip(CLASSES, row, strict=True)) for i, row in zip(g.ids, g.p.tolist(), strict=True)
    },
    "rows with lists": lambda g: [
        {"file": f"{i}.jpg", "probs": row, "pred": c} for i, row, c in zip(g.ids, g.p.tolist(), g.decided, strict=True)
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", JSON)
def test_json_is_read_alike(given, tmp_path, kind):
    path = tmp_path / "network.json"
    path.write_text(json.dumps(JSON[kind](given)))
    order = CLASSES if kind == "an object of lists" else ()
    (one,) = bring_predictions(given.dataset, [path], classes=order).models
    assert np.allclose(one.probabilities[0], given.p, atol=1e-6)


PARQUET = {
    "lists": lambda g: pd.DataFrame({"image_id": g.ids, "probs": [*g.p.tolist()], "label": g.labels}),
    "objects": lambda g: pd.DataFrame(
        {"image_id": g.ids, "probs": [dict(zip(CLASSES, row, strict=True)) for row in g.p.tolist()]}
    ),
    "an index": lambda g: wide(g, CLASSES, "p_").set_index(pd.Index(g.ids, name="image")),
    "float32": lambda g: wide(g, CLASSES, image=g.ids).astype(dict.fromkeys(CLASSES, np.float32)),
    "a categorical column": lambda g: wide(g, range(4), "p", image=g.ids, dx=pd.Categorical(g.names)).assign(
        prediction=pd.Categorical(g.decided)
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", PARQUET)
def test_parquet_is_read_alike(given, tmp_path, kind):
    path = tmp_path / "network.parquet"
    PARQUET[kind](given).to_parquet(path)
    (one,) = bring_predictions(given.dataset, [path]).models
    assert np.allclose(one.probabilities[0], given.p, atol=1e-6)


LABELS_ALONE = {
    "one-hot labels": lambda g: {
        "image": g.ids, **{c: (g.p.argmax(1) == i).astype(int) for i, c in enumerate(CLASSES)}
    },
    "names": lambda g: {"image": g.ids, "predicted_label": g.decided},
    "full names": lambda g: {"image": g.ids, "prediction": [FULL[CLASSES.index(c)] for c in g.decided]},
    "numbers and truth": lambda g: {"image": g.ids, "y_true": numbers(g), "y_pred": g.p.argmax(1)},
    "names, truth and confidence": lambda g: {
        "image": g.ids, "dx": g.names, "pred": g.decided, "confidence": g.p.max(1)
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", LABELS_ALONE)
def test_predicted_labels_alone_have_no_probabilities(given, tmp_path, kind):
    path = tmp_path / "network.csv"
    pd.DataFrame(LABELS_ALONE[kind](given)).to_csv(path, index=False)
    brought = bring_predictions(given.dataset, [path])
    (one,) = brought.models
    assert one.probabilities is None
    assert [brought.classes[c] for c in one.decisions[0]] == given.decided


SEVERAL = {
    "by a column": lambda g: pd.concat(
        [wide(g, CLASSES, image=g.ids, model="A"), wide(g, CLASSES, image=g.ids, model="B")]
    ),
    "by columns": lambda g: wide(g, CLASSES, "A_", image=g.ids).join(wide(g, CLASSES, "B_")),
    "by columns, the class before": lambda g: wide(g, CLASSES, "", "_A", image=g.ids).join(wide(g, CLASSES, "", "_B")),
    "by columns of numbers": lambda g: wide(g, range(4), "A_prob_", image=g.ids, label=numbers(g)).join(
        wide(g, range(4), "B_prob_")
    ),
    "long": lambda g: pd.concat([long_rows(g).assign(model="A"), long_rows(g).assign(model="B")]),
    "labels alone": lambda g: pd.DataFrame({"image": g.ids, "A_pred": g.decided, "B_pred": g.decided}),
}  # fmt: skip


@pytest.mark.parametrize("kind", SEVERAL)
def test_several_models_in_one_file(given, tmp_path, kind):
    path = tmp_path / "networks.csv"
    SEVERAL[kind](given).to_csv(path, index=False)
    models = bring_predictions(given.dataset, [path]).models
    assert [one.name for one in models] == ["A", "B"]
    assert all(
        (one.decisions[0] == given.p.argmax(1)).all()
        for one in models
        if one.probabilities is not None
    )


def test_repeats_are_seeds(given, tmp_path):
    path = tmp_path / "network.csv"
    seeds = [wide(given, CLASSES, image=given.ids, seed=seed) for seed in (0, 1, 2)]
    pd.concat(seeds).to_csv(path, index=False)
    (one,) = bring_predictions(given.dataset, [path]).models
    assert one.probabilities.shape == (3, len(given.ids), 4)


REFUSED = {
    "numbers without an order": lambda g: wide(g, range(4), "prob_", image=g.ids),
    "a label that may be true or predicted": lambda g: pd.DataFrame({"image": g.ids, "label": g.decided}),
    "other images": lambda g: wide(g, CLASSES, image=[f"other{i}" for i in range(len(g.ids))]),
    "true labels of other classes": lambda g: wide(
        g, range(4), "prob_", image=g.ids, true_label=np.random.default_rng(0).integers(0, 4, len(g.ids))
    ),
    "true names that contradict the dataset": lambda g: wide(
        g, CLASSES, image=g.ids, true_label=[CLASSES[3 - c] for c in numbers(g)]
    ),
    "different predictions of one image": lambda g: pd.concat(
        [wide(g, CLASSES, image=g.ids), wide(g, CLASSES[::-1], image=g.ids).head(1)]
    ),
    "predictions of other classes": lambda g: pd.DataFrame({"image": g.ids, "pred": ["yes", "no"] * 40}),
    "one class alone": lambda g: pd.DataFrame({"image": g.ids, "prob_mel": g.p[:, 2]}),
    "no header and no order": lambda g: wide(g, range(4), image=g.ids).set_axis([g.ids[0], *g.p[0]], axis=1)[1:],
    "two columns of one class": lambda g: wide(g, CLASSES, image=g.ids).assign(melanoma=0.1),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_known_is_refused_in_one_line(given, tmp_path, kind):
    path = tmp_path / "network.csv"
    REFUSED[kind](given).to_csv(path, index=False)
    with pytest.raises(DermError) as refusal:
        bring_predictions(given.dataset, [path])
    assert "network.csv" in str(refusal.value) and "\n" not in str(refusal.value)


def test_an_order_that_is_given_is_used_and_one_that_labels_contradict_is_refused(given, tmp_path):
    path = tmp_path / "network.csv"
    wide(given, range(4), "prob_", image=given.ids).to_csv(path, index=False)
    (one,) = bring_predictions(given.dataset, [path], classes=CLASSES).models
    assert np.allclose(one.probabilities[0], given.p)
    wide(given, range(4), "prob_", image=given.ids, label=numbers(given)).to_csv(path, index=False)
    with pytest.raises(DermError):
        bring_predictions(given.dataset, [path], classes=CLASSES[::-1])


def test_a_table_of_class_numbers_among_the_files_gives_the_order(given, tmp_path):
    path, listed = tmp_path / "network.csv", tmp_path / "class2label.csv"
    wide(given, range(4), "prob_", image=given.ids).to_csv(path, index=False)
    pd.DataFrame({"diag": FULL, "label": range(4)}).to_csv(listed, index=False)
    (one,) = bring_predictions(given.dataset, [listed, path]).models
    assert np.allclose(one.probabilities[0], given.p)


def test_rows_that_repeat_exactly_are_one_and_rows_without_numbers_are_left_out(given, tmp_path):
    path = tmp_path / "network.csv"
    frame = wide(given, CLASSES, image=given.ids)
    frame.loc[3, "mel"] = np.nan
    pd.concat([frame, frame.head(2)]).to_csv(path, index=False)
    brought = bring_predictions(given.dataset, [path])
    (one,) = brought.models
    assert set(given.rows) - set(one.rows) == {given.rows[3]}
    assert given.ids[3] in " ".join(brought.notes)


def test_images_that_are_not_in_the_dataset_are_counted_and_named(given, tmp_path):
    path = tmp_path / "network.csv"
    frame = wide(given, CLASSES, image=given.ids)
    frame.loc[[0, 1], "image"] = ["elsewhere_1", "elsewhere_2"]
    frame.to_csv(path, index=False)
    (one,) = bring_predictions(given.dataset, [path]).models
    assert (one.images, len(one.rows), one.unmatched) == (80, 78, ("elsewhere_1", "elsewhere_2"))


def test_images_of_a_class_that_a_model_does_not_know_are_left_out(given, tmp_path):
    path = tmp_path / "network.csv"
    wide(given, CLASSES, image=given.ids).drop(columns="bcc").to_csv(path, index=False)
    (one,) = bring_predictions(given.dataset, [path]).models
    assert 1 not in given.dataset.labels[one.rows]


@pytest.mark.parametrize("agreeing", [80, 70])
def test_true_labels_are_compared_with_those_of_the_dataset(given, tmp_path, agreeing):
    path = tmp_path / "network.csv"
    names = [*given.names[:agreeing], *(CLASSES[c - 3] for c in given.labels[agreeing:])]
    wide(given, CLASSES, image=given.ids, true_label=names).to_csv(path, index=False)
    (one,) = bring_predictions(given.dataset, [path]).models
    assert (one.labels_given, one.labels_agree) == (80, agreeing)


def test_the_label_of_a_file_is_its_decision_where_that_is_not_the_likeliest(given, tmp_path):
    path = tmp_path / "network.csv"
    wide(given, CLASSES, image=given.ids, predicted_label="mel").to_csv(path, index=False)
    (one,) = bring_predictions(given.dataset, [path]).models
    assert (one.decisions == 2).all() and one.differing == (given.p.argmax(1) != 2).sum()


@pytest.mark.parametrize(
    "columns",
    [
        {"malignant_prob": 1},
        {"prob_malignant": 1, "label": None},
        {"prob_benign": 0, "prob_malignant": 1},
        {"score": 1, "y_true": None, "y_pred": 2},
    ],
)
def test_one_score_is_enough_for_two_classes(workspace, tmp_path, columns):
    given = planted(workspace, classes=("benign", "malignant"))
    path = tmp_path / "network.csv"
    values = {None: given.labels, 0: given.p[:, 0], 1: given.p[:, 1], 2: given.p.argmax(1)}
    pd.DataFrame({"image": given.ids, **{c: values[v] for c, v in columns.items()}}).to_csv(
        path, index=False
    )
    (one,) = bring_predictions(given.dataset, [path]).models
    assert np.allclose(one.probabilities[0], given.p)


def test_an_index_does_not_stand_for_numbered_images(workspace, tmp_path):
    """Images 0000 … and an index from 0: the column that names them exactly counts, whatever it is called."""
    ids = [f"{i:04d}" for i in range(160)]
    given = planted(workspace, image_id=ids, path=[f"/elsewhere/{i}.jpg" for i in ids])
    path = tmp_path / "network.csv"
    wide(given, CLASSES, fname=given.ids).to_csv(path)
    (one,) = bring_predictions(given.dataset, [path]).models
    assert one.rows.tolist() == given.rows.tolist()
    assert np.allclose(one.probabilities[0], given.p, atol=1e-6)


def test_probabilities_that_were_rounded_are_still_probabilities(given, tmp_path):
    path = tmp_path / "network.csv"
    wide(given, CLASSES, image=given.ids).round(2).to_csv(path, index=False)
    brought = bring_predictions(given.dataset, [path])
    assert np.allclose(brought.models[0].probabilities[0], given.p, atol=0.02)
    assert "rounded" in " ".join(brought.notes)
