"""Models: the shelf and its cards."""

from pages.ui import cached, frame

workspace = frame.page("models")

if not cached.bundles(workspace):
    frame.empty("Published models will stand here, each with its card: training data, metrics with intervals, terms.",
                title="The shelf is empty", action="Train a study", page="train")
