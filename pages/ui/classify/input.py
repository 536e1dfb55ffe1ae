"""Where the images come from: files, the clipboard, the camera, or generated samples.

They are held in this session's memory only.
"""

from __future__ import annotations

import streamlit as st
from starlette.formparsers import MultiPartParser

from derm_core.data.decode import MAX_BYTES, heic_ready
from derm_core.workspace import Workspace
from pages.ui import cached_models, frame

NamedImage = tuple[str, bytes]  # file name and content
SAMPLES = 8
TYPES = ["jpg", "jpeg", "png", "webp", "bmp"]
SOURCES = {"upload": "Upload", "paste": "Paste", "camera": "Camera", "samples": "Generated samples"}

# Starlette puts what is beyond 1 MB of an upload into a temporary file; nobody's photograph goes to the disk here.
MultiPartParser.spool_max_size = max(MultiPartParser.spool_max_size, MAX_BYTES + 2**20)


def choose_images(workspace: Workspace) -> list[NamedImage]:
    """The images to classify, each once."""
    source = frame.segments("Images from", SOURCES, "from", label_visibility="collapsed")
    if source == "samples":
        chosen = _samples(workspace)
    else:
        chosen = {"upload": _uploaded, "paste": _pasted, "camera": _photographed}[source]()
    return list(dict.fromkeys(chosen))


def types() -> list[str]:
    """File types that the dialogue offers. With HEIC among them a phone sends HEIC, and JPEG otherwise."""
    return TYPES + (["heic", "heif"] if heic_ready() else [])


def about_heic() -> str:
    """What to do with a HEIC photo where the browser would refuse it without a reason."""
    if heic_ready():
        return ""
    return (
        " HEIC photos need the extra pillow-heif on this machine (requirements-extras.txt); "
        "without it, save them as JPEG."
    )


def _uploaded() -> list[NamedImage]:
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


def _pasted() -> list[NamedImage]:
    """Images from the clipboard, until they are removed. Streamlit's uploader takes no paste, its chat box does."""
    with (
        st.container()
    ):  # outside of one the box is pinned to the window's bottom, and the page scrolls there
        message = st.chat_input(
            "Click here, press Ctrl or ⌘ + V, then Enter",
            key="pasted",
            accept_file="multiple",
            file_type=types(),
            max_upload_size=MAX_BYTES // 2**20,
        )
    pasted: list[NamedImage] = st.session_state.setdefault("clipboard", [])
    if message:
        pasted += [(file.name, file.getvalue()) for file in message.files]
    if pasted:
        what = "the image" if len(pasted) == 1 else f"all {len(pasted)} images"
        st.button(f"Remove {what}", icon=":material/close:", type="tertiary", on_click=pasted.clear)
    return pasted


def _photographed() -> list[NamedImage]:
    photo = st.camera_input(
        "Photograph one lesion, close and sharp, in the middle of the picture",
        key="camera",
        width=480,
        resolution="1080p",
    )
    return [(photo.name, photo.getvalue())] if photo else []


def _samples(workspace: Workspace) -> list[NamedImage]:
    """Generated images with a button each; ?sample= names the one to classify."""
    samples = cached_models.samples(workspace, SAMPLES, 0)
    decoded = any("decoder" in about for _, _, about in samples)
    st.caption(
        "Generated images, none of a patient: "
        + ("drawn by a program and by a VAE's decoder." if decoded else "drawn by a program.")
    )
    wanted = st.query_params.get("sample", "")
    with st.grid(SAMPLES, min_column_width=36, gap="xsmall"):  # one row, on a phone as well
        for number, (_, data, about) in enumerate(samples, 1):
            with st.container(gap="xsmall"):
                st.image(data, width="stretch", alt=about)
                st.button(
                    f"{number}",
                    key=f"sample-{number}",
                    help=about,
                    width="stretch",
                    type="primary" if wanted == str(number) else "secondary",
                    on_click=st.query_params.update,
                    args=({"sample": str(number)},),
                )
    if not wanted.isdigit() or not 1 <= int(wanted) <= len(samples):
        return []
    name, data, _ = samples[int(wanted) - 1]
    return [(name, data)]
