"""Documentation: the files of docs/, one at a time. Not in the menu; "About this page" leads here."""

from __future__ import annotations

import streamlit as st

from pages.ui import documents, frame

frame.page("docs")
name = frame.linked("Document", documents.titles(), "document", default="glossary", width=320)
st.header(documents.titles()[name], anchor=False)
st.markdown(documents.document(name))
