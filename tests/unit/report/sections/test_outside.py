from foretaste.evaluation import Evaluation, Fidelity
from foretaste.report.sections.outside import mapping_sections, proposals_section
from foretaste.weights import uniform
from summaries import words


def test_a_mapping_shows_columns_rows_and_faults() -> None:
    row = Evaluation(uniform(["web", "code"]), {"qa": {"f1": 0.5}}, Fidelity.JOINT, "joint")
    faults = [f"line {number}: no number" for number in range(30)]
    text = words(mapping_sections("a.csv", [("weight of web", "w")], ["id"], ["code"], [row] * 7, faults))
    assert "weight of web w" in text
    assert "Not read: id." in text
    assert "weights of code have no column and are taken for 0" in text
    assert "The first of 7 runs" in text
    assert "and 2 more" in text
    assert "line 19: no number" in text
    assert "and 10 more." in text


def test_proposals_show_their_gain() -> None:
    text = words([proposals_section([(uniform("ab"), "joint", 0.125, "2026-01-02T03:04:05")], "Run next")])
    assert "a 50%, b 50% joint 0.125 2026-01-02 03:04" in text
    assert words([proposals_section([])]) == "No run is pending."
