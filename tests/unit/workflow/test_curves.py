from pathlib import Path

import pytest

from foretaste.methods.variational import VariationalRun
from foretaste.store.study import StudyStore
from foretaste.weights import TaskWeights
from foretaste.work.runs import JointRun, SingleTaskRun
from foretaste.workflow.curves import read_curves
from foretaste.workflow.session import Session


def test_every_run_has_its_curve(session: Session) -> None:
    weights = TaskWeights(session.problem.names, [0.5, 0.25, 0.25])
    session.finish([JointRun(weights)])
    works = [SingleTaskRun("mid"), SingleTaskRun("mid", 1), VariationalRun("mid")]
    runs = [session.finish([work])[0] for work in works]
    curves = [run for run in read_curves(session.study) if run.name not in ("low", "high")]
    assert [(run.name, run.is_joint) for run in curves] == [
        ("mid", False),
        ("mid, run 2", False),
        ("mid, variational", False),
        ("low 50%, mid 25%, high 25%", True),
    ]
    assert [list(curve.curve.losses) for curve in curves[:3]] == [list(run.history) for run in runs]
    rate = session.training_of("low").learning_rate
    assert curves[0].curve.learning_rates == pytest.approx([rate * left / 5 for left in (5, 4, 3, 2, 1)])


def test_imported_models_and_earlier_runs_without_history_have_none(tmp_path: Path) -> None:
    with StudyStore.create(tmp_path) as study:
        study.add("finetune", "k1", {"task": ["low", "x"], "import": "1f"}, {"history": [], "seen": {}}, None, 1.0)
        study.add("joint", "k2", {"weights": "low=1.0"}, {}, None, 1.0)
        assert read_curves(study) == ()
