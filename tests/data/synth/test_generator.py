"""Synthetic lesions: the same seed gives the same bytes, and the factors are really in the picture."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from derm_core.data.synth import generator
from derm_core.data.synth.generator import CLASSES, generate, lesion_factors, plan, view_factors
from derm_core.data.synth.render import noise
from tests.builders import render_lesion


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


def test_the_same_seed_gives_the_same_bytes():
    first, second, other = (list(generate(5, 48, seed)) for seed in (0, 0, 1))
    for (image, mask, factors), (again, mask_again, factors_again) in zip(first, second):
        assert (
            np.array_equal(image, again)
            and np.array_equal(mask, mask_again)
            and factors == factors_again
        )
    assert not any(np.array_equal(a[0], b[0]) for a, b in zip(first, other))


def test_a_lesion_does_not_depend_on_how_many_are_made():
    few, many = plan(10, 0), plan(500, 0)
    assert many[:10] == few
    image = list(generate(4, 48, 0))[3][0]
    assert np.array_equal(list(generate(7, 48, 0))[3][0], image)


def test_groups_have_one_to_three_views():
    rows = plan(1500, 0)
    sizes = np.bincount(np.bincount([group for group, _ in rows]))
    assert len(rows) == 1500 and sizes[0] == 0 and len(sizes) == 4
    assert (np.abs(sizes[1:] / sizes.sum() - generator.VIEWS) < 0.05).all()


def test_views_share_the_lesion_and_differ_in_the_photograph():
    group = next(g for g, v in plan(60, 0) if v == 2)
    views = [(image, f) for image, _, f in generate(60, 48, 0) if f["group"] == group]
    lesion = lesion_factors(0, group)
    assert len(views) == 3 and all(
        f[name] == value for _, f in views for name, value in lesion.items()
    )
    assert len({f["rotation"] for _, f in views}) == 3
    assert not np.array_equal(views[0][0], views[1][0])


def test_classes_are_mildly_imbalanced_and_follow_their_profile():
    rows = [lesion_factors(0, group) for group in range(1200)]
    labels = np.array([row["label"] for row in rows])
    shares = {c: (labels == c).mean() for c in CLASSES}
    assert min(shares.values()) > 0.07 and max(shares.values()) < 0.4
    names = ("network", "globules", "streaks", "colours")
    mean = {
        c: {k: np.mean([r[k] for r in rows if r["label"] == c]) for k in names} for c in CLASSES
    }
    for label, name in (
        ("synth-network", "network"),
        ("synth-globular", "globules"),
        ("synth-streaked", "streaks"),
        ("synth-mixed", "colours"),
    ):
        assert max(CLASSES, key=lambda c: mean[c][name]) == label


@pytest.mark.slow
def test_classes_overlap_but_can_be_told_from_the_factors():
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.metrics import balanced_accuracy_score

    rows = [lesion_factors(0, group) for group in range(1600)]
    names = ("network", "globules", "streaks", "irregularity", "colours", "pigment")
    x, y = (
        np.array([[row[n] for n in names] for row in rows]),
        np.array([row["label"] for row in rows]),
    )
    reader = LinearDiscriminantAnalysis().fit(x[:800], y[:800])
    assert 0.75 < balanced_accuracy_score(y[800:], reader.predict(x[800:])) < 0.97


def test_nuisances_know_nothing_of_the_class():
    from scipy.stats import f_oneway

    rows = [lesion_factors(0, g) | view_factors(0, g, 0) for g in range(1200)]
    for name in (
        "hair",
        "ruler",
        "ink",
        "bubbles",
        "vignette",
        "tube",
        "warmth",
        "skin_melanin",
        "size",
        "zoom",
    ):
        samples = [[float(r[name]) for r in rows if r["label"] == c] for c in CLASSES]
        assert f_oneway(*samples).pvalue > 0.001, name


def test_masks_cover_the_lesion():
    """Inside the mask the picture is darker than outside: the mask lies where the lesion is."""
    for seed in range(5):
        image, mask = render_lesion(seed=seed, rotation=70.0, zoom=1.1, shift_x=0.1, shift_y=-0.1)
        assert 0.05 < mask.mean() < 0.7
        assert image[mask].mean() < image[~mask].mean() - 0.1


def test_size_and_zoom_set_the_area_of_the_mask():
    small, large, near = (
        np.mean([render_lesion(seed=s, irregularity=0, **factors)[1].mean() for s in range(3)])
        for factors in ({"size": 0.4}, {"size": 0.6}, {"size": 0.4, "zoom": 1.2})
    )
    assert large / small == pytest.approx(2.25, rel=0.15)
    assert near / small == pytest.approx(1.44, rel=0.1)


@pytest.mark.parametrize("structure", ["network", "globules", "streaks"])
def test_structures_appear_in_and_around_the_lesion(structure):
    """The same lesion with more of a structure changes inside or at its border, not far from it."""
    from scipy.ndimage import binary_dilation

    none, mask = render_lesion(**{structure: 0.0})
    much, _ = render_lesion(**{structure: 0.9})
    near = binary_dilation(mask, iterations=20)
    difference = np.abs(much - none).mean(2)
    assert difference[near].mean() > 0.01
    assert difference[~near].max() < 0.03


def test_more_pigment_is_darker_and_darker_skin_too():
    pale, dark = render_lesion(pigment=0.4), render_lesion(pigment=1.6)
    assert dark[0][dark[1]].mean() < pale[0][pale[1]].mean() - 0.1
    light_skin, dark_skin = render_lesion(skin_melanin=0.05), render_lesion(skin_melanin=1.0)
    assert dark_skin[0][~dark_skin[1]].mean() < light_skin[0][~light_skin[1]].mean() - 0.15


def test_skin_looks_like_skin():
    """Red above green and blue on every skin tone, as in dermoscopy under white light."""
    for melanin in (0.0, 0.4, 1.2):
        for redness in (0.1, 0.9):
            image, mask = render_lesion(skin_melanin=melanin, skin_redness=redness)
            red, green, blue = image[~mask].mean(0)
            assert red > green + 0.03 and red > blue + 0.03


@pytest.mark.parametrize(
    "nuisance",
    [
        {"hair": 12},
        {"ruler": True},
        {"ink": True},
        {"bubbles": 5},
        {"vignette": 1.0},
        {"tube": True},
        {"noise": 0.05},
        {"light": 0.8},
        {"warmth": 1.0},
        {"blur": 1.5},
    ],
    ids=lambda value: next(iter(value)),
)
def test_nuisances_change_the_picture_and_not_the_mask(nuisance):
    clean, mask = render_lesion()
    image, same_mask = render_lesion(**nuisance)
    assert np.array_equal(mask, same_mask)
    assert np.abs(image - clean).max() > 0.02


def test_noise_has_unit_variance_at_any_resolution():
    for side in (64, 200):
        values = [noise(np.random.default_rng(seed), side, 8) for seed in range(40)]
        assert np.var(values) == pytest.approx(1, rel=0.15)
    coarse, fine = (noise(np.random.default_rng(0), side, 6) for side in (50, 100))
    assert np.abs(fine.reshape(50, 2, 50, 2).mean((1, 3)) - coarse).max() < 0.2
