"""The app: `streamlit run app.py`. Pages lie in pages/, what they share in pages/ui/."""

from pages.ui import frame, scheduling

with scheduling.turn(), frame.errors():
    frame.navigation().run()
