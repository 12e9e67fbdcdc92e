from dataclasses import replace

import pytest

from foretaste.errors import RecipeError, TaskError
from foretaste.evaluation import Evaluation, MethodSteps
from foretaste.method_table import METHOD_TABLE
from foretaste.metric_kinds import TextMetric
from foretaste.plan import Joint
from foretaste.sources.weight_space import WeightSpace
from foretaste.surface.agreement import agreement
from foretaste.surface.comparison import Comparison
from foretaste.surface.table import Surface, headlines
from foretaste.weights import TaskWeights
from foretaste.workflow.compare import compare, methods_to_compare
from foretaste.workflow.confirm import confirm
from foretaste.workflow.points import joint_points
from foretaste.workflow.preview import prepare_merger, preview
from foretaste.workflow.session import Session
from foretaste.workflow.sharpen import sharpen_previews


@pytest.fixture
def three(pairs: Session) -> Session:
    """Compared at three weightings."""
    return replace(pairs, recipe=pairs.recipe.model_copy(update={"joint": Joint(points=3)}))


def names(found: Comparison) -> list[str]:
    return [each.method for each in found.methods]


def test_methods_asked_for_and_controls_where_a_mixture_is() -> None:
    assert methods_to_compare(["diagonal", "simple", "diagonal"]) == ["diagonal", "simple"]
    assert methods_to_compare(["average", "mixture"]) == ["average", "mixture", "weighted"]
    assert set(methods_to_compare()) == set(METHOD_TABLE) - {"factors"}  # the mixture's controls among them
    in_lora = set(methods_to_compare(space=WeightSpace({})))
    assert in_lora == set(METHOD_TABLE) - {"lowrank", "variational"}


def test_methods_that_cannot_preview_the_tasks_are_compared_only_if_asked_for(three: Session) -> None:
    texts = TextMetric("bleu", lambda said, wanted: 0.0)
    low, *others = three.problem.tasks
    changed = (replace(low, metrics=[texts], write=lambda model, examples: [("", "") for _ in examples]), *others)
    assert set(methods_to_compare(tasks=changed)) == set(METHOD_TABLE) - {"predictive", "factors"}
    assert methods_to_compare(["predictive"], changed) == ["predictive"]
    before = three.study.all_work()
    with pytest.raises(TaskError, match="mixed predictions come from no model"):
        compare(replace(three, problem=replace(three.problem, tasks=changed)), ["simple", "predictive"])
    assert three.study.all_work() == before


def test_an_ensemble_is_compared_but_never_sharpened(three: Session) -> None:
    found = compare(three, ["simple", "predictive"], [1])
    assert names(found) == ["simple", "simple+1", "predictive", "pretrained+1"]
    simple, ensemble = found.methods[0], found.methods[2]
    spoken = sum(done.seconds for done in three.study.all_work("outputs"))
    assert ensemble.once == pytest.approx(simple.once + spoken / found.joint_seconds)
    assert ensemble.each == 0.0  # cheaper than evaluating params, which every other weighting needs


def test_agreements_are_those_of_previews_with_joint_runs(three: Session) -> None:
    found = compare(three, ["diagonal"])
    points, heads = joint_points(three.recipe, three.problem), headlines(three.problem.tasks)

    def surface(rows: list[Evaluation]) -> Surface:
        return Surface(heads, tuple(rows))

    expected = agreement(surface(preview(three, ["diagonal"], points)), surface(confirm(three, points)), "diagonal")
    assert names(found) == ["diagonal"]
    assert found.methods[0].agreement == expected
    assert expected.points == 3


def test_a_mixture_is_shown_beside_its_controls(three: Session) -> None:
    found = compare(three, ["mixture"])
    assert names(found) == ["mixture", "average", "weighted"]
    assert [each.kind for each in found.methods] == ["preview", "control", "control"]
    assert found.best == "mixture"
    assert [each.title for each in found.methods] == [METHOD_TABLE[name].title for name in names(found)]


def test_sharpened_previews_and_joint_runs_cut_to_the_same_steps(three: Session) -> None:
    found = compare(three, ["simple"], [1, 2])
    assert names(found) == ["simple", "simple+1", "simple+2", "pretrained+1", "pretrained+2"]
    assert [each.kind for each in found.methods] == ["preview", "sharpened", "sharpened", "control", "control"]
    rows = sharpen_previews(three, "simple", 2, joint_points(three.recipe, three.problem))
    heads = headlines(three.problem.tasks)
    joint = confirm(three, joint_points(three.recipe, three.problem))
    assert found.methods[2].agreement == agreement(
        Surface(heads, tuple(rows)), Surface(heads, tuple(joint)), "simple+2"
    )
    assert found.methods[3].once == 0.0


def test_costs_are_in_joint_runs(three: Session) -> None:
    found = compare(three, ["simple", "diagonal"], [3])
    seconds = [done.seconds for done in three.study.all_work("joint")]
    assert found.joint_seconds == pytest.approx(sum(seconds) / len(seconds))
    for each in found.methods[:2]:
        base = MethodSteps.parse(each.method).name
        assert each.once == pytest.approx(prepare_merger(three, base)[0].seconds / found.joint_seconds)
    assert found.methods[1].method == "simple+3"
    assert found.methods[1].each > 0
    assert found.methods[2].once > found.methods[0].once  # its curvature
    assert all(each.each >= 0 for each in found.methods)


def test_rivals_are_joint_runs_at_weights_that_anyone_can_name(three: Session) -> None:
    first, *rest = three.problem.tasks
    uneven = replace(first, train=[first.train[place] for place in range(len(first.train) // 2)])
    changed = replace(three, problem=replace(three.problem, tasks=(uneven, *rest)))
    found = compare(changed, ["simple"])
    points = joint_points(changed.recipe, changed.problem)
    counts = [len(task.train) for task in changed.problem.tasks]
    proportional = TaskWeights(changed.problem.names, [count / sum(counts) for count in counts])
    assert proportional not in points
    best = max(sum(metrics["accuracy"] for metrics in row.metrics.values()) / 3 for row in confirm(changed, points))
    (row,) = confirm(changed, [proportional])
    own = sum(metrics["accuracy"] for metrics in row.metrics.values()) / 3
    assert found.rivals["proportional"].mean == pytest.approx(best - own)
    assert found.rivals["uniform"].mean >= 0
    assert found.methods[0].agreement.points == 3


def test_compared_again_everything_is_found(three: Session) -> None:
    first = compare(three, ["simple", "diagonal"], [1])
    before = three.study.all_work()
    assert compare(three, ["simple", "diagonal"], [1]) == first
    assert three.study.all_work() == before


def test_without_joint_runs_there_is_nothing_to_compare_with(session: Session) -> None:
    none = replace(session, recipe=session.recipe.model_copy(update={"joint": Joint(points=0)}))
    before = none.study.all_work()
    with pytest.raises(RecipeError, match=r"nothing to compare previews with: joint.points is 0; set it to 3 or more"):
        compare(none, ["simple"])
    assert none.study.all_work() == before


def test_anchored_previews_are_not_judged_by_their_anchor(three: Session) -> None:
    found = compare(three, ["simple", "anchored"], [1])
    counts = {each.method: (each.agreement.points, each.agreement.left_out) for each in found.methods}
    assert counts == {
        "simple": (3, 0),
        "simple+1": (3, 0),
        "anchored": (2, 1),
        "anchored+1": (2, 1),
        "pretrained+1": (3, 0),
    }
