"""What the dashboard's own widgets are sent: data with a number that says which are older."""

from __future__ import annotations

import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pages._parts.assets import ASSETS

WITHOUT_VIEW = {"steps_feed"}
"""Components that only pass on what they are sent, in whatever order."""


def test_the_same_data_keep_their_number_and_others_get_a_greater() -> None:
    def draw() -> None:  # read as a script of its own, which imports nothing
        import streamlit as st

        from pages._parts import components

        for key in ("one", "other"):
            components.token_rows({"label": st.session_state.get(key, "")}, key=key)

    page = AppTest.from_function(draw, default_timeout=60).run()

    def numbers(**labels: str) -> dict[str, int]:
        for key, label in labels.items():
            page.session_state[key] = label
        page.run()
        assert not page.exception
        protos: list[Any] = [c.proto for c in page.get("bidi_component")]
        sent = [json.loads(proto.json) for proto in protos]
        assert [data["label"] for data in sent] == list(labels.values())
        return dict(zip(labels, (data["sent"] for data in sent), strict=True))

    first = numbers(one="a", other="a")
    assert numbers(one="a", other="a") == first
    second = numbers(one="b", other="a")
    assert second["one"] > max(first.values()) and second["other"] == first["other"]
    assert numbers(one="a", other="a")["one"] > second["one"]


@pytest.mark.parametrize("path", sorted((ASSETS / "components").glob("*.js")), ids=lambda p: p.stem)
def test_every_view_passes_over_what_is_old(path: Any) -> None:
    exports = [line for line in path.read_text("utf-8").splitlines() if "export default" in line]
    assert path.stem in WITHOUT_VIEW or all("standing(" in line for line in exports)
