"""Tables in HTML."""

from collections.abc import Callable

from foretaste.report.markup import agreement_table, chosen_table, confirmed_table, lines_table, rows_table
from foretaste.report.summary import Summary
from foretaste.weights import uniform

Study = Callable[..., Summary]


def test_bars_are_as_long_as_the_weights(make: Study) -> None:
    table = chosen_table(make(("a", "b", "c"), resolution=5, preference="a=1"))
    assert 'style="width:100%"></span></span> 100%' in table
    assert 'style="width:0%"></span></span> 0%' in table


def test_what_is_missing_is_left_out(make: Study) -> None:
    assert chosen_table(make(("a", "b"), methods=(), joint=())) == ""
    assert confirmed_table(make(("a", "b"), joint=())) == ""
    assert lines_table("Provenance", {}) == ""


def test_cells_are_escaped(make: Study) -> None:
    study = make(("<a>", "b"), methods=("<m>",), joint=[uniform(("<a>", "b"))])
    for table in (
        chosen_table(study),
        agreement_table(study),
        confirmed_table(study),
        rows_table(study),
        lines_table("<a>", {"<a>": "<m>"}),
    ):
        assert "<a>" not in table
        assert "<m>" not in table
        assert "&lt;a&gt;" in table or "&lt;m&gt;" in table


def test_every_row_is_there(make: Study) -> None:
    assert rows_table(make(("a", "b"))).count("<tr>") == 1 + 15
