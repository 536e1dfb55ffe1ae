"""Data: import, audit, look."""

from pages.ui import cached, frame

workspace = frame.page("data")

for found in cached.datasets(workspace):
    frame.st.markdown(f"**{found['name']}** — {found['images']:,} images")
