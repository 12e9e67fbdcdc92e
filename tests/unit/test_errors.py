import pickle

import pytest

from foretaste import errors
from foretaste.errors import BadInput, DataError, ForetasteError, MissingExtra, RunFailed, StorageError

CLASSES = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", CLASSES)
def test_one_root(kind: type[ForetasteError]) -> None:
    assert issubclass(kind, ForetasteError)


@pytest.mark.parametrize(
    ("name", "builtin", "exit_code"),
    [
        ("ForetasteError", Exception, 1),
        ("BadInput", ValueError, 2),
        ("WeightsError", ValueError, 2),
        ("ParamsError", ValueError, 2),
        ("TaskError", ValueError, 2),
        ("RecipeError", ValueError, 2),
        ("DataError", ValueError, 2),
        ("StudyError", ValueError, 2),
        ("StorageError", OSError, 2),
        ("MissingExtra", ImportError, 2),
        ("RunFailed", RuntimeError, 1),
        ("Diverged", ArithmeticError, 1),
        ("Stopped", Exception, 130),
    ],
)
def test_each_is_caught_as_its_builtin_and_has_an_exit_code(
    name: str, builtin: type[Exception], exit_code: int
) -> None:
    kind = getattr(errors, name)
    with pytest.raises(builtin, match="what happened"):
        raise kind("what happened")
    assert kind.exit_code == exit_code
    assert set(errors.__all__) == {each.__name__ for each in CLASSES}


def test_what_the_caller_can_mend_is_told_from_what_failed() -> None:
    assert issubclass(StorageError, BadInput)
    assert issubclass(MissingExtra, BadInput)
    assert not issubclass(RunFailed, BadInput)


class TestAt:
    def test_the_deepest_field_stays(self) -> None:
        error = DataError("no such file").at("tasks", "movies", "train").at("tasks")
        assert error.field == ("tasks", "movies", "train")

    def test_it_returns_the_error_to_raise(self) -> None:
        error = DataError("no such file")
        assert error.at("tasks") is error
        assert str(error) == "no such file"

    def test_errors_do_not_share_their_field(self) -> None:
        DataError("one").at("tasks")
        assert DataError("two").field == ()


@pytest.mark.parametrize("kind", CLASSES)
def test_errors_cross_process_borders(kind: type[ForetasteError]) -> None:
    again = pickle.loads(pickle.dumps(kind("what happened")))  # noqa: S301
    assert type(again) is kind
    assert str(again) == "what happened"
