"""What four small studies gave when their golden files were written is what they give now."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from commands import contents, foretaste
from golden.studies import FIXTURE, FOLDER, STUDIES, run
from rounding import is_near

TOLERANCE = 2e-4  # relative: processors add up in different orders
_LOOSER = {"digits": 5e-3}  # secants of runs of a few steps magnify what the runs differ by


def numbers_of(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every leaf of a document with its place."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from numbers_of(each, f"{path}/{name}")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for place, each in enumerate(value):
            yield from numbers_of(each, f"{path}/{place}")
    else:
        yield path, value


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_gives_what_it_gave(name: str, tmp_path: Path) -> None:
    """A difference is a mistake, unless a revision was raised on purpose: then run `python tests/golden/make.py`."""
    expected, found = json.loads((FOLDER / f"{name}.json").read_text()), run(name, tmp_path)
    assert found["work"] == expected["work"]
    assert dict(numbers_of(found)) == {
        place: pytest.approx(value, rel=_LOOSER.get(name, TOLERANCE)) if isinstance(value, float) else value
        for place, value in numbers_of(expected)
    }


def test_a_study_of_version_0_1_opens_and_recommends_what_it_did(tmp_path: Path) -> None:
    study = tmp_path / "study"
    shutil.copytree(FIXTURE, study)
    shown = foretaste("show", study, "--json")
    assert shown.code == 0, shown.err
    expected = json.loads(FIXTURE.with_name(f"{FIXTURE.name}.json").read_text())
    assert is_near(json.loads(shown.out)["recommendation"], expected, TOLERANCE)


def test_the_study_of_version_0_1_stays_small() -> None:
    assert 0 < sum(len(data) for data in contents(FIXTURE).values()) < 300_000
