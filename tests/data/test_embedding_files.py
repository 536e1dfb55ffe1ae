"""Brought vectors: what each layout gives, and what is refused or said."""

import numpy as np
import pandas as pd
import pytest

from derm_core.data.embedding_files import bring_embeddings
from derm_core.data.embeddings import (
    delete_embeddings,
    embedding_names,
    embeddings_info,
    load_embeddings,
    register_embeddings,
    sources_of,
)
from derm_core.errors import ConfigError, DataError, NotFound
from tests.builders import write_dataset

D = 5


@pytest.fixture
def tiny(workspace):
    return write_dataset(workspace, images=12)


@pytest.fixture
def vectors(tiny):
    """(12, D) float32 in the order of the dataset."""
    return np.random.default_rng(0).normal(size=(len(tiny), D)).astype(np.float32)


def ids_of(dataset):
    return dataset.frame["image_id"].to_numpy(str)


def wide(ids, vectors, prefix="f", **more):
    columns = {f"{prefix}{k}": vectors[:, k] for k in range(vectors.shape[1])}
    return pd.DataFrame({"image": ids, **more, **columns})


WRITERS = {
    "matrix.npz": lambda path, ids, x: np.savez(path, names=ids, features=x, labels=np.arange(len(x))),
    "by-id.npz": lambda path, ids, x: np.savez(path, **dict(zip(ids, x, strict=True))),
    "lists.parquet": lambda path, ids, x: pd.DataFrame(
        {"image_id": ids, "label": "a", "vector": list(x)}
    ).to_parquet(path),
    "index.parquet": lambda path, ids, x: pd.DataFrame(x, index=ids).rename(columns=str).to_parquet(path),
    "wide.csv": lambda path, ids, x: wide(ids, x, label=1, age=50.0).to_csv(path, index=False),
    "plain.csv": lambda path, ids, x: pd.DataFrame(x, index=ids).to_csv(path, header=False),
    "text.csv": lambda path, ids, x: pd.DataFrame(
        {"file": [f"images/{name}.JPG" for name in ids], "embedding": [str(v.tolist()) for v in x]}
    ).to_csv(path, index=False),
    "tabs.tsv": lambda path, ids, x: wide(ids, x).to_csv(path, index=False, sep="\t"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_every_layout_gives_the_same_vectors_to_the_last_bit(tmp_path, tiny, vectors, name):
    order = np.random.default_rng(1).permutation(len(tiny))
    WRITERS[name](tmp_path / name, ids_of(tiny)[order], vectors[order])
    brought = bring_embeddings(tiny, tmp_path / name)
    np.testing.assert_array_equal(brought.rows, np.arange(len(tiny)))
    np.testing.assert_array_equal(brought.vectors_nd, vectors)
    assert any("12 of 12 images are in tiny" in note for note in brought.notes)


def test_features_stand_in_the_order_of_their_numbers(tmp_path, tiny):
    x = np.arange(12.0 * 12).reshape(12, 12)
    frame = wide(ids_of(tiny), x)[["image", "f10", "f11", *(f"f{k}" for k in range(10))]]
    frame.to_csv(tmp_path / "a.csv", index=False)
    np.testing.assert_array_equal(bring_embeddings(tiny, tmp_path / "a.csv").vectors_nd, x)


def test_what_does_not_match_and_what_is_missing_is_said(tmp_path, tiny, vectors):
    ids = [*ids_of(tiny)[:8], "elsewhere-1", "elsewhere-2"]
    rows = [*vectors[:8], *np.ones((2, D))]
    np.savez(tmp_path / "a.npz", ids=ids, x=np.array(rows))
    brought = bring_embeddings(tiny, tmp_path / "a.npz")
    np.testing.assert_array_equal(brought.vectors_nd, vectors[:8])
    notes = " ".join(brought.notes)
    assert "2 not in tiny and left out: elsewhere-1, elsewhere-2" in notes
    assert "4 images of tiny have no vector" in notes


def test_equal_duplicates_are_dropped_and_different_ones_refused(tmp_path, tiny, vectors):
    ids, path = ids_of(tiny), tmp_path / "a.npz"
    np.savez(path, ids=[*ids, ids[3]], x=np.vstack([vectors, vectors[3]]))
    brought = bring_embeddings(tiny, path)
    np.testing.assert_array_equal(brought.vectors_nd, vectors)
    assert any("1 row repeat" in note for note in brought.notes)
    np.savez(path, ids=[*ids, f"{ids[3]}.png"], x=np.vstack([vectors, vectors[4]]))
    with pytest.raises(DataError, match=f"different vectors for the same image .{ids[3]}."):
        bring_embeddings(tiny, path)


def test_constant_features_and_failed_vectors_are_said_and_all_equal_ones_refused(
    tmp_path, tiny, vectors
):
    path, changed = tmp_path / "a.npz", vectors.copy()
    changed[:, 2], changed[5] = 7.0, 7.0
    np.savez(path, ids=ids_of(tiny), x=changed)
    notes = " ".join(bring_embeddings(tiny, path).notes)
    assert "1 feature of 5 have one value for all images" in notes
    assert f"failed extraction leaves them: {ids_of(tiny)[5]}" in notes
    np.savez(path, ids=ids_of(tiny), x=np.ones_like(vectors))
    with pytest.raises(DataError, match=r"All vectors of a\.npz are equal"):
        bring_embeddings(tiny, path)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_values_that_are_not_finite_are_refused_by_image(tmp_path, tiny, vectors, value):
    changed = vectors.astype(float)
    changed[4, 1] = value
    np.savez(tmp_path / "a.npz", ids=ids_of(tiny), x=changed)
    with pytest.raises(DataError, match=f"not finite or missing .{ids_of(tiny)[4]}."):
        bring_embeddings(tiny, tmp_path / "a.npz")


def test_vectors_of_different_lengths_are_refused(tmp_path, tiny, vectors):
    ragged = [vectors[0][:3], *vectors[1:]]
    pd.DataFrame({"image_id": ids_of(tiny), "v": ragged}).to_parquet(tmp_path / "a.parquet")
    np.savez(tmp_path / "a.npz", **dict(zip(ids_of(tiny), ragged, strict=True)))
    for name in ("a.parquet", "a.npz"):
        with pytest.raises(DataError, match=r"different lengths \(3, 5\)"):
            bring_embeddings(tiny, tmp_path / name)
    lines = wide(ids_of(tiny), vectors).to_csv(index=False).splitlines()
    for line in (lines[3] + ",1.5", lines[3].rpartition(",")[0]):
        (tmp_path / "a.csv").write_text("\n".join([*lines[:3], line, *lines[4:]]))
        with pytest.raises(DataError, match=r"different lengths|not finite or missing"):
            bring_embeddings(tiny, tmp_path / "a.csv")


def test_pickles_and_what_is_no_file_of_vectors_are_refused(tmp_path, tiny, vectors):
    objects = np.array([{"a": 1}, None], dtype=object)
    np.savez(tmp_path / "pickled.npz", ids=objects, x=vectors)
    with pytest.raises(DataError, match="without pickle"):
        bring_embeddings(tiny, tmp_path / "pickled.npz")
    (tmp_path / "no.npz").write_bytes(b"PK no zip")
    (tmp_path / "no.parquet").write_bytes(b"no parquet")
    (tmp_path / "no.pkl").write_bytes(b"x")
    np.savez(tmp_path / "noids.npz", x=vectors)
    for name, match in [
        ("no.npz", "cannot be read"),
        ("no.parquet", "cannot be read as Parquet"),
        ("no.pkl", r"give \.npz, \.parquet or \.csv"),
        ("noids.npz", "no array of image ids"),
        ("missing.csv", "cannot be read"),
    ]:
        with pytest.raises(DataError, match=match):
            bring_embeddings(tiny, tmp_path / name)
    np.savez(tmp_path / "others.npz", ids=[f"x{k}" for k in range(12)], x=vectors)
    with pytest.raises(DataError, match=r"no array of image ids|None of the"):
        bring_embeddings(tiny, tmp_path / "others.npz")


def test_registered_vectors_are_read_by_image_id_whatever_became_of_the_rows(
    workspace, tmp_path, tiny, vectors
):
    np.savez(tmp_path / "a.npz", ids=ids_of(tiny)[:10], x=vectors[:10])
    brought = bring_embeddings(tiny, tmp_path / "a.npz")
    info = register_embeddings(workspace, tiny, "clip", brought, "a.npz", "ImageNet-1k")
    assert (info.images, info.features, info.file) == (10, D, "a.npz")
    assert register_embeddings(workspace, tiny, "clip", brought, "a.npz") == info
    assert embedding_names(workspace, "tiny") == ["clip"]
    turned = tiny.at(np.arange(12)[::-1])
    features = load_embeddings(workspace, turned, "clip")
    np.testing.assert_array_equal(features[2:], vectors[:10][::-1])
    assert np.isnan(features[:2]).all()
    assert sources_of(embeddings_info(workspace, "tiny", "clip")) == [
        {"pretrained_on": "ImageNet-1k"}
    ]
    np.savez(tmp_path / "b.npz", ids=ids_of(tiny), x=vectors + 1)
    other = bring_embeddings(tiny, tmp_path / "b.npz")
    with pytest.raises(ConfigError, match="other embeddings of the name clip"):
        register_embeddings(workspace, tiny, "clip", other, "b.npz")
    delete_embeddings(workspace, "tiny", "clip")
    with pytest.raises(NotFound, match="no embeddings of the name clip"):
        load_embeddings(workspace, tiny, "clip")


def test_damaged_vectors_are_refused(workspace, tmp_path, tiny, vectors):
    np.savez(tmp_path / "a.npz", ids=ids_of(tiny), x=vectors)
    brought = bring_embeddings(tiny, tmp_path / "a.npz")
    register_embeddings(workspace, tiny, "clip", brought, "a.npz")
    stored = workspace.dataset("tiny").embeddings / "clip.npz"
    np.savez(stored, ids=ids_of(tiny), vectors=vectors[:, :2])
    with pytest.raises(DataError, match="clip are damaged"):
        load_embeddings(workspace, tiny, "clip")


@pytest.fixture
def larger(workspace):
    """90 images of three classes."""
    return write_dataset(workspace, "larger")


def features(dataset, count=4, seed=0):
    return np.random.default_rng(seed).normal(size=(len(dataset), count)).astype(np.float32)


@pytest.mark.parametrize(
    "feature",
    [
        lambda labels: labels,
        lambda labels: labels == 1,
        lambda labels: (
            2 * labels + np.arange(len(labels)) % 2
        ),  # a diagnosis finer than the classes
        lambda labels: labels + (labels == 2) * 0.5,
    ],
)
def test_a_feature_that_follows_from_the_labels_is_refused_unless_it_is_meant(
    tmp_path, larger, feature
):
    x = np.column_stack([features(larger), feature(larger.labels)]).astype(np.float32)
    np.savez(tmp_path / "a.npz", ids=ids_of(larger), x=x)
    with pytest.raises(DataError, match=r"decide 1 feature \(number 4\).*--allow-labels"):
        bring_embeddings(larger, tmp_path / "a.npz")
    brought = bring_embeddings(larger, tmp_path / "a.npz", allow_labels=True)
    np.testing.assert_array_equal(brought.vectors_nd, x)


def test_features_of_few_values_that_do_not_follow_from_the_labels_are_taken(tmp_path, larger):
    x = features(larger)
    x[:, 0], x[:, 1], x[:, 2] = np.arange(90) % 2, x[:, 1] > 1.5, np.arange(90) == 3
    np.savez(tmp_path / "a.npz", ids=ids_of(larger), x=x)
    np.testing.assert_array_equal(bring_embeddings(larger, tmp_path / "a.npz").vectors_nd, x)


def test_labels_of_a_table_without_a_header_are_no_feature_in_silence(tmp_path, larger):
    table = pd.DataFrame(features(larger), index=ids_of(larger))
    table.insert(0, "label", larger.labels)
    table.to_csv(tmp_path / "a.csv", header=False)
    with pytest.raises(DataError, match=r"decide 1 feature \(column 1\)"):
        bring_embeddings(larger, tmp_path / "a.csv")


def test_as_few_vectors_as_classes_are_refused(tmp_path, larger):
    few = features(larger)[:5][np.random.default_rng(1).integers(0, 5, len(larger))]
    np.savez(tmp_path / "a.npz", ids=ids_of(larger), x=few)
    with pytest.raises(DataError, match=r"no more than 6 different vectors for 90 images"):
        bring_embeddings(larger, tmp_path / "a.npz")


ABOUT = (
    "y dx diagnosis label_num malignant is_melanoma dx_code age_approx pred prob_mel targets class_id "
    "cancer isMalignant amber lesion_id patientid"  # amber is one of the classes
)


def test_what_is_known_of_an_image_is_no_feature_beside_others(tmp_path, larger):
    x, path = features(larger, 3), tmp_path / "a.csv"
    for name in ABOUT.split():
        columns = {name: x[:, 2], "area": x[:, 0], "grid": x[:, 1]}
        pd.DataFrame({"image": ids_of(larger), **columns}).to_csv(path, index=False)
        brought = bring_embeddings(larger, path)
        np.testing.assert_array_equal(brought.vectors_nd, x[:, :2], name)
        assert any(f"not used: {name}" in note for note in brought.notes)


def in_parts(path, ids, parts):
    """A file with these vectors under these names, in this order."""
    if path.suffix == ".npz":
        np.savez(path, ids=ids, **parts)
    elif path.suffix == ".parquet":
        pd.DataFrame({"image": ids, **{name: list(x) for name, x in parts.items()}}).to_parquet(
            path
        )
    else:
        columns = {f"{name}{k}": x[:, k] for name, x in parts.items() for k in range(x.shape[1])}
        pd.DataFrame({"image": ids, **columns}).to_csv(path, index=False)


NAMES = [("embedding", "one_hot_label"), ("x", "logits"), ("features", "a"), ("f", "probs")]


@pytest.mark.parametrize("file", ["a.npz", "a.parquet", "a.csv"])
def test_names_say_which_part_of_a_file_is_the_vectors(tmp_path, larger, file):
    x, longer = features(larger), features(larger, 9, 1)
    for vectors, other in NAMES:
        in_parts(tmp_path / file, ids_of(larger), {other: longer, vectors: x})
        brought = bring_embeddings(larger, tmp_path / file)
        np.testing.assert_array_equal(brought.vectors_nd, x, vectors)
        asked = bring_embeddings(larger, tmp_path / file, vectors=other)
        np.testing.assert_array_equal(asked.vectors_nd, longer, other)


@pytest.mark.parametrize("file", ["a.npz", "a.parquet", "a.csv"])
def test_where_names_do_not_say_it_the_file_is_refused_and_the_parts_are_named(
    tmp_path, larger, file
):
    x, y = features(larger), features(larger, 9, 1)
    in_parts(tmp_path / file, ids_of(larger), {"first": x, "second": y})
    with pytest.raises(
        DataError, match=r"first \(4 numbers\), second \(9 numbers\).*--vectors NAME"
    ):
        bring_embeddings(larger, tmp_path / file)
    asked = bring_embeddings(larger, tmp_path / file, vectors="first")
    np.testing.assert_array_equal(asked.vectors_nd, x)
    with pytest.raises(DataError, match="no vectors called third; there are: first"):
        bring_embeddings(larger, tmp_path / file, vectors="third")


def test_two_columns_of_one_number_are_refused(tmp_path, larger):
    x = features(larger, 3)
    columns = {"f1": x[:, 0], "f01": x[:, 1], "f2": x[:, 2]}
    pd.DataFrame({"image": ids_of(larger), **columns}).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match="the columns f1 and f01 have one number"):
        bring_embeddings(larger, tmp_path / "a.csv")


def test_a_few_numbered_columns_among_many_others_are_not_taken_for_all(tmp_path, larger):
    x, names = features(larger, 6), ["area", "lbp1", "lbp2", "contrast", "energy", "entropy"]
    table = pd.DataFrame({"image": ids_of(larger), **dict(zip(names, x.T, strict=True))})
    table.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match=r"lbp \(2 numbers\), all \(6 numbers\)"):
        bring_embeddings(larger, tmp_path / "a.csv")
    brought = bring_embeddings(larger, tmp_path / "a.csv", vectors="all")
    np.testing.assert_array_equal(brought.vectors_nd, x)
