import pytest

from foretaste.cli.arguments import again, pairs, variables
from foretaste.errors import RecipeError


def test_a_command_to_paste_has_its_options() -> None:
    found = again(["run", "a b.yaml"], None, ["data=/x y"], ["a=1,b=0"])
    assert found == "foretaste run 'a b.yaml' --var 'data=/x y' --weights a=1,b=0"


def test_pairs() -> None:
    assert variables(["a=1", "b=x=y", "a=2"]) == {"a": "2", "b": "x=y"}
    assert pairs(None, "--task", "NAME=FOLDER", "code=F") == {}
    with pytest.raises(RecipeError, match="--task '=F' is not NAME=FOLDER; write for example --task code=F"):
        pairs(["=F"], "--task", "NAME=FOLDER", "code=F")
    with pytest.raises(RecipeError, match="--task names 'a' twice"):
        pairs(["a=1", "a=2"], "--task", "NAME=FOLDER", "code=F")
