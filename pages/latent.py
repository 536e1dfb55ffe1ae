"""Latent space: a map of an arm's features; a click shows the images."""

from pages.ui import cached, frame

workspace = frame.page("latent")

if not cached.runs(workspace, kind="embed"):
    frame.empty("A map of the feature space of an arm will be here: one dot an image, coloured by class, split or "
                "attribute.", title="No map yet", action="Train a study first", page="train")
