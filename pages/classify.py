"""Classify: one or several images, both models side by side."""

from pages.ui import cached, frame

workspace = frame.page("classify")

if not [card for card in cached.bundles(workspace) if card.get("ok")]:
    frame.empty("Two published models will look at your image here, side by side. Train a study and publish its "
                "arms, then come back.", title="No model on the shelf", action="Train a study", page="train")
