"""The planted artefact in words: what 0 means, and the levels beside which a reliance is read."""

from derm_core.report import question_tables, shortcut_text
from derm_core.study.shortcut import ink_alone

STUDY = {
    "classes": ["mel", "nv", "bkl", "df"],
    "arms": {"vae": {"label": "VAE"}},
    "shortcut": {
        "class": "mel",
        "share": 0.1,
        "artefact": "one stroke of ink",
        "strengths": [0.0, 0.5, 1.0],
        "reference": [ink_alone(0.1, rho) for rho in (0.0, 0.5, 1.0)],
        "rows": [
            {
                "arm": "vae",
                "strength": rho,
                **{
                    name: {"mean": rho, "std": 0, "low": rho, "high": rho}
                    for name in ("clean", "reversed", "reliance")
                },
            }
            for rho in (0.0, 0.5, 1.0)
        ],
    },
}


def test_chance_the_class_share_and_the_ink_alone_stand_in_the_words():
    told = " ".join(shortcut_text.planted(STUDY))
    assert "25.0\u202f%" in told and "with 4 classes" in told, "guessing"
    assert "10.0\u202f% of the training images" in told
    assert (
        f"{100 * ink_alone(0.1, 0.5):.1f}\u202f% at strength 0.5, and of 100.0\u202f% at strength 1"
        in told
    )


def test_the_ink_alone_stands_beside_every_arm():
    shown = question_tables.shortcut(STUDY)[1]
    assert list(shown["The ink alone"]) == [
        "0.0\u202f%",
        f"{100 * ink_alone(0.1, 0.5):.1f}\u202f%",
        "100.0\u202f%",
    ]


def test_nothing_is_explained_where_nothing_was_asked():
    assert shortcut_text.planted({"classes": ["a", "b"], "arms": {}}) == []
    assert shortcut_text.planted(STUDY | {"shortcut": STUDY["shortcut"] | {"rows": []}}) == []
