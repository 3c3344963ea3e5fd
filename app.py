"""The frame of the dashboard: page config, style, navigation. No content."""

from pages._parts import frame

frame.configure()
frame.run()
