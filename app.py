"""The frame of the dashboard: page config, style, navigation. No content."""

import streamlit as st

from pages._parts import frame

st.set_page_config(page_title="Switchboard", page_icon="🎛️", layout="wide")
frame.run()
