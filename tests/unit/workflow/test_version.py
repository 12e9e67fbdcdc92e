"""Studies of other versions are refused by their version."""

import json
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

from foretaste import __version__
from foretaste.engines.catalogue import REVISIONS
from foretaste.errors import StudyError
from foretaste.recipe import parse
from foretaste.workflow.reopen import reopen
from foretaste.workflow.session import Session
from foretaste.workflow.start import start
from foretaste.workflow.version import check_revisions, check_version, maker_of

NEWER = "foretaste 99.1, torch 9.9, Python 4.0, on cpu"
Plan = dict[str, Any]


def changed(session: Session, change: Callable[[Plan], object]) -> None:
    """A study whose kept plan is another."""
    with sqlite3.connect(session.study.path / "study.db") as connection:
        plan = json.loads(connection.execute("SELECT plan FROM recipes").fetchone()[0])
        change(plan)
        connection.execute("UPDATE recipes SET plan = ?", [json.dumps(plan)])
    connection.close()


def begin_again(session: Session) -> None:
    stored = session.study.recipe()
    assert stored is not None
    start(parse(stored[0]), stored[0], session.problem, session.study.path).study.close()


def test_the_maker_is_read_from_the_plan(session: Session) -> None:
    stored = session.study.recipe()
    assert stored is not None
    assert maker_of(stored[1]) == __version__
    assert maker_of({}) == maker_of({"versions": "somebody"}) == ""


@pytest.mark.parametrize("version", ["99", "99.0rc1", f"{__version__}.1"])
def test_a_newer_version_is_refused(version: str, session: Session) -> None:
    with pytest.raises(
        StudyError, match=rf"was made by foretaste {version}, and this is foretaste {__version__}: upgrade foretaste"
    ):
        check_version({"versions": f"foretaste {version}, torch 9"}, session.study.path)


@pytest.mark.parametrize(
    "plan", [{}, {"versions": f"foretaste {__version__}, torch 1"}, {"versions": "foretaste 0.0.9"}]
)
def test_others_are_not(plan: Plan, session: Session) -> None:
    check_version(plan, session.study.path)
    check_revisions(plan, session.study.path)


def test_a_study_that_a_newer_version_answers_in_another_way(session: Session) -> None:
    changed(session, lambda plan: plan["identity"]["revisions"].update(factors=9))
    changed(session, lambda plan: plan.update(versions=NEWER))
    with pytest.raises(
        StudyError,
        match=r"was made by foretaste 99\.1, and this is foretaste .*: upgrade foretaste, or name another folder",
    ):
        begin_again(session)


def test_a_study_of_a_kind_of_work_that_this_version_lacks(session: Session) -> None:
    changed(session, lambda plan: plan["identity"]["revisions"].update(dreams=1))
    with pytest.raises(StudyError, match="upgrade foretaste"):
        begin_again(session)


def test_a_recipe_with_parts_that_this_version_lacks(session: Session) -> None:
    changed(session, lambda plan: plan["recipe"].update(dreams="of sheep"))
    changed(session, lambda plan: plan.update(versions=NEWER))
    with pytest.raises(StudyError, match=r"was made by foretaste 99\.1"):
        reopen(session.study.path)


def test_a_study_of_the_same_question_is_gone_on_with_whatever_version_made_it(session: Session) -> None:
    changed(session, lambda plan: plan.update(versions=NEWER))
    begin_again(session)


def test_a_study_of_an_earlier_version_with_other_numbers(session: Session) -> None:
    changed(session, lambda plan: plan["identity"]["revisions"].update(factors=REVISIONS["factors"] - 1))
    with pytest.raises(
        StudyError, match=r"which computes factors in another way \(revision 1, here 2\): go on with that version"
    ):
        begin_again(session)
