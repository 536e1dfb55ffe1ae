"""The app: `streamlit run app.py`. Pages lie in pages/, what they share in pages/ui/.

The server imports this file and takes `app` from it; for every page Streamlit then runs the file as a script.
"""

import streamlit as st

if __name__ == "__main__":
    from pages.ui import frame, scheduling

    with scheduling.turn(), frame.errors():
        frame.navigation().run()
else:
    from pages.ui import map_route, warm_up

    app = st.App(__file__, lifespan=warm_up.lifespan, routes=map_route.routes())
