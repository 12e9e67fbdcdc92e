"""Work as values, on toy work: found or made once, stopped and resumed, sent as JSON to another process."""

import json
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from commands import ENVIRONMENT
from foretaste.engines.catalogue import REVISIONS
from foretaste.errors import Diverged, Stopped, StudyError
from foretaste.methods.anchored import AnchorTrust
from foretaste.methods.predictive import TaskOutputs
from foretaste.methods.previews import Previews, SharpenedPreview
from foretaste.methods.race_part import RacePart
from foretaste.methods.tune import PriorPrecision
from foretaste.methods.variational import VariationalRun
from foretaste.params import Params
from foretaste.store.study import Done, Json, StudyStore
from foretaste.train.finetune import finetune
from foretaste.train.run import Snapshot, Trained
from foretaste.train.training import Training
from foretaste.weights import TaskWeights, uniform
from foretaste.work import work as module
from foretaste.work.context import Context, Unwatched
from foretaste.work.curvature import FisherCurvature, KroneckerCurvature, SecantCurvature
from foretaste.work.joint_evaluations import JointEvaluation, ShortJointRun
from foretaste.work.observer import Observer
from foretaste.work.runs import ImportedRun, JointRun, SingleTaskRun
from foretaste.work.single_task import PretrainedMetrics, SingleTaskMetrics
from foretaste.work.work import Computation, Piece, TrainingPiece, Work, from_json, revisions, to_json
from foretaste.workflow.session import Session
from problems import blobs, linear

TRAINING = Training(steps=6, batch_size=5)


class Counting(Unwatched):
    """Counts progress, and asks to stop after so much of it."""

    def __init__(self, until: int = 1 << 30) -> None:
        self.until, self.count = until, 0

    def advance(self, amount: int, note: str = "", stage: str | None = None) -> None:
        self.count += amount

    def stopping(self) -> bool:
        return self.count >= self.until


@dataclass(frozen=True)
class Toy(Computation[int]):
    """A number, doubled."""

    number: int

    stage = "toys"
    kind = "toy"
    calls: ClassVar[list[int]] = []

    def size(self, context: Context) -> int:
        return 1

    def inputs(self, context: Context) -> dict[str, object]:
        return {"number": self.number}

    def make(self, context: Context, observer: Observer) -> tuple[Json, Params]:
        self.calls.append(self.number)
        return {"twice": 2 * self.number}, {"w": torch.ones(1)}

    def read(self, context: Context, done: Done) -> int:
        return int(done.result["twice"])


@dataclass(frozen=True)
class ToyRun(TrainingPiece[Done]):
    """Six steps on points around class centres."""

    broken: bool = False

    stage = "toy runs"
    kind = "toy run"

    def inputs(self, context: Context) -> dict[str, object]:
        return {"broken": self.broken}

    @property
    def run_name(self) -> str:
        return "toy"

    def training(self, context: Context) -> Training:
        return Training(steps=50, batch_size=2) if self.broken else TRAINING

    def train(self, context: Context, start: Snapshot | None, observer: Observer) -> Trained:
        task = blobs("a", 1)
        if self.broken:
            task.train.inputs[7] = float("inf")  # type: ignore[attr-defined]
        return finetune(linear(), None, task, self.training(context), start=start, observer=observer)

    def read(self, context: Context, done: Done) -> Done:
        return done


@pytest.fixture(autouse=True)
def _forget() -> None:
    Toy.calls.clear()


def with_snapshots(session: Session, seconds: float) -> Session:
    return replace(session, recipe=session.recipe.model_copy(update={"snapshot_seconds": seconds}))


def finish(session: Session, work: Work[Any], watch: Unwatched | None = None) -> object:
    return work.finish(session, Observer(watch or Unwatched(), work.size(session)))


def test_work_is_done_once(session: Session) -> None:
    assert [finish(session, Toy(1)), finish(session, Toy(1)), finish(session, Toy(2))] == [2, 2, 4]
    assert Toy.calls == [1, 2]
    assert Toy(1).key(session) != Toy(2).key(session)
    assert Toy(1).done(session).artefact == Toy(2).done(session).artefact


def test_work_that_is_not_finished_has_no_result(session: Session) -> None:
    assert not Toy(3).is_finished(session)
    with pytest.raises(StudyError, match="is not in the study"):
        Toy(3).stored_result(session)


def test_stopped_training_goes_on_where_it_was(session: Session, tmp_path: Path) -> None:
    rarely = with_snapshots(session, 1e9)
    with StudyStore.create(tmp_path / "whole") as other:
        whole = ToyRun().finish(replace(rarely, study=other), Observer(Unwatched(), 6))
    with pytest.raises(Stopped, match="kept"):
        finish(rarely, ToyRun(), Counting(until=4))
    key = ToyRun().key(session)
    state, _ = session.study.load_snapshot(key)
    assert state is not None
    assert state.step == 4
    counting = Counting()
    parts = ToyRun().finish(rarely, Observer(counting, 6))
    assert counting.count == 6  # four found, two made
    assert finish(rarely, ToyRun(), counting) == parts
    assert counting.count == 12
    assert session.study.load_snapshot(key) == (None, 0.0)
    assert (whole.artefact, whole.result) == (parts.artefact, parts.result)


def test_a_run_that_diverges_keeps_its_last_good_state(session: Session) -> None:
    often, before = with_snapshots(session, 0.0), session.study.all_work()
    with pytest.raises(Diverged, match="the last good state is kept in"):
        finish(often, ToyRun(broken=True))
    assert session.study.all_work() == before
    state, seconds = session.study.load_snapshot(ToyRun(broken=True).key(session))
    assert state is not None
    assert 0 < state.step < 50
    assert seconds > 0
    assert all(
        bool(torch.isfinite(tensor).all()) for name, tensor in state.tensors.items() if name.startswith("params/")
    )


ODD = TaskWeights(["low", "mid", "high"], [1 / 3, 1 / 3 + 1e-10, 1 / 3 - 1e-10])
ALL_WORK: list[Work[Any]] = [
    SingleTaskRun("low"),
    SingleTaskRun("low", 2),
    ImportedRun("mid", "1f"),
    VariationalRun("high"),
    JointRun(ODD),
    FisherCurvature("low", SingleTaskRun("low")),
    FisherCurvature("mid", ImportedRun("mid", "1f")),
    KroneckerCurvature("low", JointRun(ODD), gradient=True),
    SecantCurvature("low", SingleTaskRun("low"), (SingleTaskRun("low", 1), SingleTaskRun("low", 2))),
    PriorPrecision("kronecker"),
    AnchorTrust(),
    TaskOutputs("low"),
    Previews("simple", (ODD, uniform(["low", "mid", "high"]))),
    SharpenedPreview("diagonal", 3, ODD),
    JointEvaluation(ODD),
    ShortJointRun(4, ODD),
    SingleTaskMetrics("low"),
    PretrainedMetrics("low"),
    RacePart("simple", ODD, (("low", 0, 8), ("mid", 0, 4))),
]


@pytest.mark.parametrize("work", ALL_WORK, ids=str)
def test_every_kind_of_work_travels_as_json(work: Work[Any]) -> None:
    other = from_json(json.loads(json.dumps(to_json(work))))
    assert other == work
    assert hash(other) == hash(work)
    assert str(other) == str(work)


def test_every_class_of_work_is_among_these() -> None:
    """A new kind of work is to be added to the list above."""
    own = {
        name
        for name, cls in module._CLASSES.items()
        if cls.__module__.startswith("foretaste") and not cls.__abstractmethods__
    }
    assert own == {type(work).__name__ for work in ALL_WORK}


def test_exact_weights_travel(session: Session) -> None:
    sent = from_json(json.loads(json.dumps(to_json(JointRun(ODD)))))
    assert isinstance(sent, JointRun)
    assert sent.weights.shares == ODD.shares


def test_work_that_nobody_knows_is_refused() -> None:
    with pytest.raises(StudyError, match="there is no work called 'Strange' in this version of foretaste"):
        from_json({"work": "Strange"})


def test_only_plain_data_travels() -> None:
    @dataclass(frozen=True)
    class Heavy(Toy):
        tensor: torch.Tensor = field(default_factory=lambda: torch.zeros(1))

    with pytest.raises(TypeError, match="work holds plain data only, not Tensor"):
        to_json(Heavy(1))


ELSEWHERE = """
import json, sys
from pathlib import Path
from foretaste.engines.catalogue import MODULES
from foretaste.work.context import Unwatched
from foretaste.work.observer import Observer
from foretaste.work.work import from_json
from foretaste.workflow.reopen import reopen

session = reopen(Path(sys.argv[1]))
with session.study:
    for line in Path(sys.argv[2]).read_text().splitlines():
        work = from_json(json.loads(line))
        work.finish(session, Observer(Unwatched(), work.size(session)))
        print(work.key(session), work.done(session).artefact)
"""


def test_work_is_the_same_in_another_process(session: Session, tmp_path: Path) -> None:
    """Through a file into a new process and another study: the same key, the same bits."""
    work: list[Piece[Any]] = [SingleTaskRun("low", 1), FisherCurvature("low", SingleTaskRun("low", 1)), JointRun(ODD)]
    session.finish(work)
    here = [[each.key(session), each.done(session).artefact] for each in work]
    file, other = tmp_path / "work.jsonl", tmp_path / "other"
    file.write_text("".join(json.dumps(to_json(each)) + "\n" for each in work))
    text, plan = session.study.recipe() or ("", {})
    with StudyStore.create(other) as study:
        study.add_recipe(text, plan)
    command = [sys.executable, "-c", ELSEWHERE, str(other), str(file)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)
    assert ran.returncode == 0, ran.stderr
    assert [line.split() for line in ran.stdout.splitlines()] == here


def test_revisions_are_one_for_each_kind() -> None:
    expected = {
        "finetune": 1,
        "joint": 1,
        "site": 2,
        "choice": 1,
        "evaluation": 1,
        "outputs": 1,
        "alone": 1,
        "slice": 1,
        "factors": 2,
    }
    assert expected == REVISIONS
    assert {kind: number for kind, number in revisions().items() if "toy" not in kind} | {"factors": 2} == expected
