"""Where the images come from: files, the clipboard, the camera, or samples that the product makes itself.

What is chosen lies in this session's memory only and is forgotten with it.
"""

from __future__ import annotations

import streamlit as st
from starlette.formparsers import MultiPartParser

from derm_core.data.decode import MAX_BYTES, heic_ready
from pages.ui import cached, frame

SAMPLES = 8
TYPES = ["jpg", "jpeg", "png", "webp", "bmp"]
KINDS = {"upload": "Upload", "paste": "Paste", "camera": "Camera", "samples": "Generated samples"}

# Starlette puts what is beyond 1 MB of an upload into a temporary file; nobody's photograph goes to the disk here.
MultiPartParser.spool_max_size = max(MultiPartParser.spool_max_size, MAX_BYTES + 2**20)


def choose(workspace) -> list[tuple[str, bytes]]:
    """(name, bytes) of what is to be classified, each content once."""
    source = frame.linked(
        "Images from",
        list(KINDS),
        "from",
        widget=st.segmented_control,
        label_visibility="collapsed",
        required=True,
        always=False,
        format_func=KINDS.get,
    )
    found = {"upload": uploaded, "paste": pasted, "camera": photographed}.get(
        source, lambda: sampled(workspace)
    )()
    return list(dict.fromkeys(found))


def types() -> list[str]:
    """What the file dialogue offers; a phone that finds HEIC here sends it, and JPEG otherwise."""
    return TYPES + (["heic", "heif"] if heic_ready() else [])


def about_heic() -> str:
    """What to do with a HEIC photo where the browser would refuse it without a reason."""
    return (
        ""
        if heic_ready()
        else (
            " HEIC photos need the extra pillow-heif on this machine (requirements-extras.txt); "
            "without it, save them as JPEG."
        )
    )


def uploaded() -> list[tuple[str, bytes]]:
    files = st.file_uploader(
        "Dermatoscopic images, one lesion each",
        types(),
        accept_multiple_files=True,
        key="files",
        max_upload_size=MAX_BYTES // 2**20,
        help="One lesion in the middle of each. Images stay in this session's memory and are never "
        "written to disk. Two minutes after its tab is closed the session is given up, and "
        "they are gone when a page is opened here a minute later.",
    )
    return [(file.name, file.getvalue()) for file in files]


def pasted() -> list[tuple[str, bytes]]:
    """Images from the clipboard, kept until they are taken away. Streamlit's uploader takes no paste, its chat box does."""
    with (
        st.container()
    ):  # outside of one the box is pinned to the window's bottom, and the page scrolls there
        said = st.chat_input(
            "Click here, press Ctrl or ⌘ + V, then Enter",
            key="pasted",
            accept_file="multiple",
            file_type=types(),
            max_upload_size=MAX_BYTES // 2**20,
        )
    kept = st.session_state.setdefault("clipboard", [])
    if said:
        kept += [(file.name, file.getvalue()) for file in said.files]
    if kept:
        what = "the image" if len(kept) == 1 else f"all {len(kept)} images"
        st.button(f"Remove {what}", icon=":material/close:", type="tertiary", on_click=kept.clear)
    return kept


def photographed() -> list[tuple[str, bytes]]:
    photo = st.camera_input(
        "Photograph one lesion, close and sharp, in the middle of the picture",
        key="camera",
        width=480,
        resolution="1080p",
    )
    return [(photo.name, photo.getvalue())] if photo else []


def sampled(workspace) -> list[tuple[str, bytes]]:
    """Generated images with a button each; ?sample= says which one is shown."""
    found = cached.samples(workspace, SAMPLES, 0)
    drawn = any("decoder" in about for _, _, about in found)
    st.caption(
        "No patient's image is among these: "
        + (
            "half come from the product's generator, half from a VAE's decoder."
            if drawn
            else "all come from the product's generator."
        )
    )
    wanted = st.query_params.get("sample", "")
    with st.grid(SAMPLES, min_column_width=84, gap="small"):
        for number, (_, data, about) in enumerate(found, 1):
            with st.container(gap="xsmall"):
                st.image(data, width="stretch", alt=about)
                st.button(
                    f"Sample {number}",
                    key=f"sample-{number}",
                    help=about,
                    width="stretch",
                    type="primary" if wanted == str(number) else "secondary",
                    on_click=st.query_params.update,
                    args=({"sample": str(number)},),
                )
    if not wanted.isdigit() or not 1 <= int(wanted) <= len(found):
        return []
    name, data, _ = found[int(wanted) - 1]
    return [(name, data)]
