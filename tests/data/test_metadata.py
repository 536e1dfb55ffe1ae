"""Age, sex and site as features: the usual encoding, fitted on the training images alone."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import OneHotEncoder

from derm_core.data.metadata import encode_metadata, require_metadata
from derm_core.errors import DataError
from tests.builders import write_dataset

TRAIN = np.arange(0, 60)


@pytest.fixture
def dataset(workspace):
    """90 images; a tenth of each field is missing, and one site stands outside the training images alone."""
    tiny, rng = write_dataset(workspace), np.random.default_rng(0)
    n = len(tiny)
    age = np.where(rng.random(n) < 0.1, np.nan, rng.integers(2, 17, n) * 5.0)
    sex = np.where(rng.random(n) < 0.1, None, rng.choice(["female", "male"], n))
    site = np.where(rng.random(n) < 0.1, None, rng.choice(["back", "face", "trunk"], n))
    site[70:73] = "acral"
    return with_columns(tiny, age=age, sex=sex, site=site)


def with_columns(dataset, **columns):
    return dataclasses.replace(dataset, frame=dataset.frame.assign(**columns))


def test_the_encoding_is_that_of_scikit_learn_fitted_on_the_training_images(dataset):
    encoded, frame = encode_metadata(dataset, TRAIN), dataset.frame
    age = frame["age"].to_numpy(float)
    known = age[TRAIN][~np.isnan(age[TRAIN])]
    standardised = np.nan_to_num((age - known.mean()) / known.std())
    texts = frame[["sex", "site"]].fillna("~missing").to_numpy(str)
    encoder = OneHotEncoder(sparse_output=False, handle_unknown="ignore").fit(texts[TRAIN])
    expected = np.column_stack([standardised, np.isnan(age), encoder.transform(texts)])
    np.testing.assert_allclose(encoded.values_nd, expected, atol=1e-6)
    assert encoded.columns == (
        *("age", "age missing", "sex female", "sex male", "sex missing"),
        *("site back", "site face", "site trunk", "site missing"),
    )
    assert encoded.missing == {name: int(frame[name].isna().sum()) for name in encoded.fields}
    assert encoded.unseen == {"sex": 0, "site": 3}
    assert "site (3)" in encoded.describe()


def test_images_outside_training_change_no_statistic(dataset):
    changed = dataset.frame.copy()
    changed.loc[60:, "age"], changed.loc[60:, "sex"] = 3.0, "other"
    other = encode_metadata(dataclasses.replace(dataset, frame=changed), TRAIN)
    encoded = encode_metadata(dataset, TRAIN)
    assert other.columns == encoded.columns
    np.testing.assert_array_equal(other.values_nd[TRAIN], encoded.values_nd[TRAIN])
    assert not np.array_equal(encode_metadata(dataset, TRAIN[:30]).values_nd, encoded.values_nd)


def test_what_no_training_image_lacks_has_no_column_of_its_own(dataset):
    whole = with_columns(dataset, age=np.arange(90.0), sex=["male"] * 90, site=[None] * 90)
    encoded = encode_metadata(whole, TRAIN)
    assert encoded.columns == ("age", "sex male")
    assert encoded.fields == ("age", "sex")  # no image has a site
    lacking = whole.frame.assign(age=[*range(89), np.nan])
    late = encode_metadata(dataclasses.replace(whole, frame=lacking), TRAIN)
    assert late.columns == ("age", "sex male") and late.values_nd[89, 0] == 0
    assert "and a feature that marks it" not in late.describe()


def test_missing_values_that_training_lacks_are_counted_as_missing(dataset):
    site = ["back"] * 70 + [None] * 15 + ["acral"] * 5
    late = encode_metadata(with_columns(dataset, age=None, site=site), TRAIN)
    assert late.columns == ("sex female", "sex male", "sex missing", "site back")
    assert late.missing["site"] == 15 and late.unseen == {"sex": 0, "site": 5}
    assert not late.values_nd[70:, 3].any()
    text = late.describe()
    assert "one-hot, missing values of sex a category of their own" in text
    assert "site (5)" in text and "No training image lacks site (15)" in text


def test_numbers_stored_as_text_are_read(dataset):
    texts = with_columns(dataset, age=pd.Series(dataset.frame["age"]).map("{:g}".format))
    np.testing.assert_array_equal(
        encode_metadata(texts, TRAIN).values_nd, encode_metadata(dataset, TRAIN).values_nd
    )


def test_a_dataset_without_metadata_is_refused_with_what_to_do(workspace):
    plain = write_dataset(workspace)
    for rows in (None, TRAIN):
        with pytest.raises(DataError, match=r"tiny has no age, sex or site.*derm data import"):
            require_metadata(plain, rows)
    late = with_columns(plain, age=[np.nan] * 60 + [40.0] * 30)
    assert require_metadata(late) == ("age",)
    with pytest.raises(DataError, match="of its training images"):
        encode_metadata(late, TRAIN)
