"""A number for every head and MLP is tabulated, tinted and drawn in one way."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

import engine
from engine.showing.palette import SIGNED, turned
from engine.showing.site_grid import SiteGrid, cells


@dataclass(frozen=True)
class Model:
    n_layers: int = 3
    n_heads: int = 2
    without_heads: tuple[int, ...] = (1,)
    without_mlp: tuple[int, ...] = (2,)


def grid(signed: Any = True) -> Any:
    values: dict[engine.Site, float] = {
        engine.Head(0, 1): -0.5,
        engine.MLP(1): 0.25,
        engine.Head(2, 0): 0.0,
    }
    return SiteGrid.of(Model(), values, "change <of> it", signed=signed)


def test_a_grid_has_the_numbers_of_its_sites_and_nan_elsewhere() -> None:
    one = grid()
    assert one[engine.Head(0, 1)] == -0.5 and one[engine.MLP(1)] == 0.25
    assert np.isnan(one.heads).sum() == 4 and np.isnan(one.mlps).sum() == 2
    assert list(map(str, one.sites)) == ["0.1", "m1", "2.0"]
    every = {site: 1.0 for site in cells(Model())}
    assert SiteGrid.of(Model(), every, "all").sites == cells(Model())


def test_the_table_the_tint_and_the_figure_have_the_same_numbers() -> None:
    one = grid()
    assert [(row["site"], row["kind"], row["head"], row[one.name]) for row in one.table()] == [
        ("0.1", "head", 1, -0.5), ("m1", "mlp", "", 0.25), ("2.0", "head", 0, 0.0)
    ]  # fmt: skip
    assert one.tint() == [None, -0.5, None, None, None, 0.25, 0.0, None, None]
    drawn = one.figure().data[0]
    z = np.array(drawn.z, float)
    assert z.shape == (3, 4) and np.isnan(z[:, 2]).all()
    np.testing.assert_array_equal(z[:, :2], one.heads)
    np.testing.assert_array_equal(z[:, 3], one.mlps)
    assert drawn.customdata[0][1] == "<b>0.1</b> change &lt;of&gt; it -0.500"
    assert drawn.customdata[0][0] == ""


def test_signed_numbers_have_zero_in_the_middle_and_red_for_the_worse() -> None:
    drawn = grid().figure().data[0]
    assert (drawn.zmin, drawn.zmax) == (-0.5, 0.5)
    assert tuple(map(tuple, drawn.colorscale)) == SIGNED
    one = grid()
    worse = SiteGrid(one.heads, one.mlps, one.name, signed=True, less_is_better=True).figure()
    assert tuple(map(tuple, worse.data[0].colorscale)) == turned(SIGNED)
    sizes = SiteGrid(abs(one.heads), abs(one.mlps), one.name).figure().data[0]
    assert (sizes.zmin, sizes.zmax) == (0.0, 0.5)


def test_the_sign_of_a_strong_number_is_written_on_its_cell() -> None:
    signs = [list(row) for row in grid().figure().data[0].text]
    assert signs == [["", "−", "", ""], ["", "", "", "+"], ["", "", "", ""]]
    assert grid(signed=False).figure().data[0].text is None


def test_what_is_exactly_0_stands_apart_where_it_has_a_colour() -> None:
    one = replace(grid(signed=False), zero="grey", most=2.0)
    costs, gone = (np.array(trace.z, float) for trace in one.figure().data)
    assert np.isnan(costs[2, 0]) and gone[2, 0] == 0.0
    assert np.isfinite(costs).sum() == 2 and np.isfinite(gone).sum() == 1
    assert one.figure().data[0].zmax == one.colours["zmax"] == 2.0


def test_which_numbers_come_first_follows_from_what_they_are() -> None:
    assert grid().orders[0] == "size"
    assert grid(signed=False).orders[0] == "greatest"
    assert replace(grid(signed=False), least_first=True).orders[0] == "least"


def test_a_grid_of_which_nothing_is_known_is_drawn() -> None:
    empty = SiteGrid.of(Model(), {}, "nothing", signed=True)
    assert empty.sites == [] and empty.table() == [] and set(empty.tint()) == {None}
    assert (empty.figure().data[0].zmin, empty.figure().data[0].zmax) == (-1.0, 1.0)


def test_another_grid_fills_what_is_not_known_and_nothing_else() -> None:
    every = SiteGrid.of(Model(), {site: 9.0 for site in cells(Model())}, "guess")
    both = grid().filled(every)
    assert both[engine.Head(0, 1)] == -0.5 and both[engine.Head(0, 0)] == 9.0
    assert both.name == grid().name and np.isnan(both[engine.MLP(2)])
