"""What "About this page" says: three steps for each page, and the document that has more."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PageGuide:
    """How a page is used.

    Attributes:
        steps: three sentences or pairs of sentences in markdown, in the order in which one does them.
        document: the file of docs/ that has more, without its suffix.
    """

    steps: tuple[str, str, str]
    document: str


GUIDES = {
    "home": PageGuide(
        (
            "**Classify an image** asks two published models about one picture of a lesion.",
            "**Run the demo** makes a whole comparison on synthetic images, from the pretraining to the verdict.",
            "**Latest comparison** has the result of the last study; *Compare* shows all of it.",
        ),
        "results",
    ),
    "classify": PageGuide(
        (
            "**Choose an image** of one lesion: upload, paste or photograph it, or take a generated sample. It stays "
            "in this session's memory.",
            "**Read both answers**: the most probable class, the prediction set, and the agreement between them. Where "
            "the image is unlike the training images, a warning stands above them.",
            "**Look at the explanations** below: saliency, occlusion, nearest training images, reconstruction.",
        ),
        "command-line",
    ),
    "train": PageGuide(
        (
            "**Choose a preset and a dataset.** The demo makes its own images; for others import a dataset on *Data*. "
            "*Add networks* lists further extractors to compare.",
            "**Launch the study.** The pretraining runs first, then the comparison, also when this window is closed.",
            "**Watch the learning curves**, cancel or resume the run. *Compare* has the verdict when it is done; "
            "*Runs* below lists all, and archives old ones.",
        ),
        "command-line",
    ),
    "compare": PageGuide(
        (
            "**Choose a study**, and others to stand beside it.",
            "**Read the verdict** and then the arms: balanced accuracy and gap belong together.",
            "**Open a section** for the figures and tests behind it: *Leaderboard* ranks three arms and more. Or "
            "download the report and all tables.",
        ),
        "limits",
    ),
    "latent": PageGuide(
        (
            "**Choose a map**, and beside it another of the same images. *New map* below makes one.",
            "**Point at a dot** to see its image; click it for the nearest ones too, or draw a box or lasso around a "
            "region. Colour and filter by class, split, prediction or attribute.",
            "**Switch the view**: *Latent traversal* moves along the dimensions of a VAE, *Data issues* lists "
            "near-duplicates, likely label errors and outliers. Images can be marked there and where they are "
            "selected: wrong label, duplicate, exclude.",
        ),
        "command-line",
    ),
    "data": PageGuide(
        (
            "**Get a public data set or import images.** A preview shows what would be read before anything is "
            "written.",
            "**Check the splits**: no patient and no lesion may be in two of them.",
            "**Look through the images**, mark them, set priorities, or compare predictions of other models on them.",
        ),
        "data",
    ),
    "models": PageGuide(
        (
            "**Compare the models**: what each was trained on and how well it does. *Card* has all of it.",
            "**Publish an arm** of a finished study; it then serves *Classify*.",
            "**Export a model** as one file, or import one.",
        ),
        "limits",
    ),
}
