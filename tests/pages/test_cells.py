"""Cells turned over in a grid that did not know yet what was set meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest


def grid() -> None:
    import streamlit as st

    from pages._parts.cells import tell, turned_over

    ss = st.session_state
    for said in ss.get("said", ()):
        new, gone = turned_over("grid", "picked", said)
        ss["cells"] = [*(cell for cell in ss["cells"] if cell not in gone), *new]
    ss["said"] = ()
    ss["rev"] = tell("grid", picked=sorted(ss.setdefault("cells", [1])))


@pytest.fixture
def app() -> AppTest:
    return AppTest.from_function(grid, default_timeout=30).run()


def say(app: AppTest, *said: Any) -> tuple[list[int], int]:
    app.session_state["said"] = said
    app.run()
    return sorted(app.session_state["cells"]), app.session_state["rev"]


def test_what_is_turned_over_needs_not_be_told_again(app: AppTest) -> None:
    assert say(app, {"rev": 1, "cells": [1, 2]}) == ([1, 2], 1)
    assert say(app, {"rev": 1, "cells": [2]}, {"rev": 1, "cells": [2, 3]}) == ([2, 3], 1)


def test_it_joins_what_was_set_before_the_grid_knew(app: AppTest) -> None:
    app.session_state["cells"] = [5, 6]
    assert say(app) == ([5, 6], 2)
    assert say(app, {"rev": 1, "cells": [1, 2]}) == ([2, 5, 6], 3)
    assert say(app, {"rev": 1, "cells": [1]}) == ([5, 6], 4)
    assert say(app, {"rev": 4, "cells": [5]}) == ([5], 4)


@pytest.mark.parametrize(
    "said",
    [None, [1, 2], {}, {"rev": "1", "cells": [2]}, {"rev": 9, "cells": [2]}, {"rev": 1}],
)
def test_what_cannot_be_read_turns_nothing(app: AppTest, said: Any) -> None:
    assert say(app, said) == ([1], 1)


def test_what_was_told_long_ago_is_forgotten(app: AppTest) -> None:
    for cell in range(30):
        app.session_state["cells"] = [100 + cell]
        say(app)
    assert say(app, {"rev": 2, "cells": [7]}) == ([129], 31)
    assert say(app, {"rev": 20, "cells": [7]}) == ([7, 129], 32)
