"""The app: `streamlit run app.py`. Pages lie in pages/, what they share in pages/ui/."""

from pages.ui.frame import navigation

navigation().run()
