"""What all figures share."""

from collections.abc import Callable

from foretaste.report.canvas import axis, canvas, hover, label
from foretaste.report.summary import Summary
from foretaste.task import Fidelity

Study = Callable[..., Summary]


def test_labels_are_short_and_escaped() -> None:
    assert label("<a>&") == "&lt;a&gt;&amp;"
    assert label("abcdefgh", 4) == "abc\u2026"


def test_hover_text_has_weights_and_metrics(make: Study) -> None:
    study = make(("a", "b"))
    assert hover(study, study.previews.rows[0]) == "<b>preview, diagonal</b><br>a 100%: accuracy 0.900<br>b 0%: accuracy 0.500"
    joint = next(row for row in study.surface.rows if row.fidelity is Fidelity.JOINT)
    assert hover(study, joint).startswith("<b>joint finetuning</b>")


def test_figures_carry_no_template_of_the_session() -> None:
    assert canvas().layout.template.layout.to_plotly_json() == {}
    assert axis("x", ".0%")["tickformat"] == ".0%"
