from dataclasses import replace
from pathlib import Path

import pytest

from foretaste.errors import StorageError, StudyError
from foretaste.recipe import parse, read
from foretaste.sources.digits import digits
from foretaste.sources.problem import Problem
from foretaste.store.study import StudyStore
from foretaste.task import Rows
from foretaste.workflow.session import Session
from foretaste.workflow.start import start
from problems import blobs, digits_recipe, linear

DIGITS = "name: a\nmodel: {source: digits}\n"


def problem(count: int) -> Problem:
    return Problem(linear(), tuple(blobs(f"t{place}", place) for place in range(count)))


def test_start_keeps_the_recipe_and_opens_it_again(session: Session) -> None:
    kept = session.study.recipe()
    assert kept is not None
    sizes = {"low": 398, "mid": 222, "high": 217}
    assert kept[1]["headlines"] == {
        task: {"metric": "accuracy", "higher_is_better": True, "examples": n, "train_examples": 300}
        for task, n in sizes.items()
    }
    assert kept[1]["data"] == session.data
    assert kept[1]["method"] == "anchored"
    rows, units = dict.fromkeys(sizes, 300), dict.fromkeys(sizes, 1.0)
    common = {"steps": 5, "batch_size": 32, "unit": "example", "realise": "sampling"}
    assert kept[1]["joint_data"] == {**common, "rows": rows, "units": units}
    text = kept[0].replace("name: small digits", "name: another name")
    with start(parse(text), text, session.problem, session.study.path).study as study:
        again = study.recipe()
        assert again is not None
        assert again[1]["name"] == "another name"
        assert study.all_work()


@pytest.mark.parametrize("part", ["identity", "data", "base"])
def test_another_question_is_refused_and_the_study_let_go(session: Session, part: str) -> None:
    plan, text = read(digits_recipe(session.study.path.parent, finetune_steps="6" if part == "identity" else "5"))
    made = session.problem
    if part == "data":
        made = replace(made, tasks=(replace(made.tasks[0], fingerprint="other"), *made.tasks[1:]))
    if part == "base":
        made = replace(made, model=digits(3).model)
    before = session.study.recipe()
    changed = {
        "identity": r"finetune\.steps: was 5, is 6",
        "data": r"data\.low: was '\w+', is 'other'",
        "base": r"base: was '\w+', is '\w+'",
    }
    with pytest.raises(
        StudyError, match=rf"was made by another recipe, model or data:\n  {changed[part]}\nname another folder"
    ):
        start(plan, text, made, session.study.path)
    assert session.study.recipe() == before


def test_a_study_without_work_takes_any_recipe(tmp_path: Path) -> None:
    made = problem(2)
    for seed in (1, 2):
        text = f"name: a\nseed: {seed}\nmodel: {{source: digits}}\n"
        start(parse(text), text, made, tmp_path / "study").study.close()
    with StudyStore.open(tmp_path / "study") as study:
        kept = study.recipe()
        assert kept is not None
        assert kept[1]["identity"]["seed"] == 2


def test_space_is_asked_for_before_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def full(_: Path, needed: int) -> None:
        asked.append(needed)
        raise StorageError("full")

    monkeypatch.setattr("foretaste.workflow.start.require_space", full)
    with pytest.raises(StorageError, match="full"):
        start(parse(DIGITS), DIGITS, problem(2), tmp_path / "study")
    size = sum(
        tensor.numel() * tensor.element_size()
        for tensor in [*linear().parameters(), *linear().buffers()]
        if tensor.is_floating_point()
    )
    assert not (tmp_path / "study").exists()
    assert asked == [(3 * 2 + 7 + 4) * size]
    assert isinstance(problem(2).tasks[0].train, Rows)


def test_a_study_of_tasks_that_had_no_fingerprint_cannot_know_their_data(session: Session) -> None:
    plan, text = read(digits_recipe(session.study.path.parent, finetune_steps="5"))
    recorded = session.study.recipe()
    assert recorded is not None
    session.study.add_recipe(text, {**recorded[1], "data": {**recorded[1]["data"], "low": ""}})
    with pytest.raises(StudyError, match=r"data\.low: was not recorded \(the task had no fingerprint\), is '\w+'"):
        start(plan, text, session.problem, session.study.path)


def test_a_task_without_fingerprint_is_known_by_what_it_holds(session: Session) -> None:
    """Other rows are refused by the study, and the same rows go on with it."""
    plan, text = read(digits_recipe(session.study.path.parent, finetune_steps="5"))
    bare = replace(session.problem, tasks=tuple(replace(task, fingerprint="") for task in session.problem.tasks))
    first = bare.tasks[0].train
    assert isinstance(first, Rows)
    swapped = Rows(first.inputs.flip(0), first.labels)
    changed = replace(bare, tasks=(replace(bare.tasks[0], train=swapped), *bare.tasks[1:]))
    folder = session.study.path.parent / "bare"
    with start(plan, text, bare, folder).study:
        pass
    with StudyStore.open(folder) as study, study.claim("work", lambda: None):
        study.add("finetune", "work", {"task": ["low", bare.tasks[0].identity]}, {}, None, 0.0)
    with pytest.raises(StudyError, match=r"data\.low: was '\w{64}', is '\w{64}'"):
        start(plan, text, changed, folder)
    again = replace(
        bare,
        tasks=tuple(replace(task, train=replace(task.train)) for task in bare.tasks if isinstance(task.train, Rows)),
    )
    with start(plan, text, again, folder).study as study:
        assert len(study.all_work()) == 1
