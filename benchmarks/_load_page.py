"""The peer of `benchmarks load`: a page that has an uploader and the predictor, and nothing else."""

import streamlit as st

from derm_core.bundles.predict import predict_images
from derm_core.bundles.predictor import load_predictors
from derm_core.records import to_json
from derm_core.workspace import Workspace


@st.cache_resource
def predictors() -> dict:
    return load_predictors(Workspace.open())


files = st.file_uploader("Images", accept_multiple_files=True)
if files:
    found = predict_images(
        Workspace.open(), None, [(file.name, file.getvalue()) for file in files], predictors()
    )
    st.json(to_json(found))
    for row in found.errors:
        st.error(row.error)
