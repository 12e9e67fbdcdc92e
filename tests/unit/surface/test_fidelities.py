import pytest

from foretaste.errors import DataError
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.surface.fidelities import fidelity_name, parse_fidelity
from foretaste.weights import uniform


@pytest.mark.parametrize("name", ["joint", "preview:simple", "preview:kronecker+30", "proxy-60m", "step-1000", "v1.5"])
def test_a_name_is_read_and_written(name: str) -> None:
    fidelity, method = parse_fidelity(name)
    row = Evaluation(uniform("ab"), {}, fidelity, method.name, steps=method.steps)
    assert fidelity_name(row) == name
    assert (fidelity == Fidelity.JOINT) == (name == "joint")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("simple", "write preview:simple, or another name"),
        ("ensemble", "write preview:predictive, or another name"),  # the former name of a method
        ("Joint", "write joint, preview:METHOD, or another name"),
        ("preview", "means something else"),
        ("preview:magic", "names no preview method"),
        ("two words", "is not understood"),
        ("a+30", "is not understood"),
        ("", "is not understood"),
    ],
)
def test_other_names_are_refused(name: str, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        parse_fidelity(name)
