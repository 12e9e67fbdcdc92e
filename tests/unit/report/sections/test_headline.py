"""What a study found, in two or three sentences."""

from foretaste.document.wording import shares
from foretaste.evaluation import Evaluation, Fidelity
from foretaste.report.sections.headline import headline
from foretaste.report.summary import Summary, summarise, with_preference
from foretaste.simplex import lattice
from foretaste.surface.preference import Floor, Preference
from foretaste.surface.table import Headline, Surface
from foretaste.weights import TaskWeights

AB = ("a", "b")


def summary_of(rows: list[Evaluation], kind: str = "worst", *, higher: bool = True) -> Summary:
    surface = Surface({task: Headline("f1", higher_is_better=higher) for task in AB}, tuple(rows))
    preference = Preference(kind, {})
    return summarise(surface, name="s", method="simple", preference=preference, floors=(), provenance={}, costs={})


def joint(weights: TaskWeights) -> Evaluation:
    """Task b is hard: it needs weight .75 to be as good as a, which gets 1 - .2 (1 - its weight)."""
    metrics = {"a": {"f1": 0.8 + 0.2 * weights["a"]}, "b": {"f1": 0.8 * weights["b"]}}
    return Evaluation(weights, metrics, Fidelity.JOINT, "joint")


def preview(weights: TaskWeights) -> Evaluation:
    """Previews that have it the wrong way round."""
    return Evaluation(weights, {task: {"f1": weights["a"]} for task in AB}, Fidelity.PREVIEW, "simple")


def test_the_gain_over_equal_weights_is_that_of_joint_runs() -> None:
    summary = summary_of([joint(weights) for weights in lattice(AB, 8)])
    best = summary.recommendation
    assert best is not None
    measured = {row.weights: min(row.metrics["a"]["f1"], row.metrics["b"]["f1"]) for row in summary.surface.rows}
    equal = TaskWeights(AB, (0.5, 0.5))
    text = headline(summary)
    assert f"gives {measured[best.weights]:.3f} for the worst task" in text
    assert f"and {measured[equal]:.3f} with equal weights" in text
    assert f"(+{measured[best.weights] - measured[equal]:.3f})" in text


def test_a_prediction_is_called_one() -> None:
    text = headline(summary_of([joint(weights) for weights in lattice(AB, 8) if weights["b"] not in (0.5, 0.625)]))
    assert "is expected to give" in text


def test_equal_weights_are_called_so() -> None:
    rows = [
        Evaluation(weights, {task: {"f1": weights[task] ** 0.5} for task in AB}, Fidelity.JOINT, "joint")
        for weights in lattice(AB, 4)
    ]
    assert "These are equal weights. In joint finetuning they give 0.707 for the mean over tasks." in headline(
        summary_of(rows, "mean")
    )


def test_previews_that_mislead_are_named_with_what_their_choice_gives() -> None:
    points = lattice(AB, 8)
    text = headline(summary_of([joint(weights) for weights in points] + [preview(weights) for weights in points]))
    assert "the simple previews alone would choose a 100%, b 0%, which give 0.000." in text


def test_previews_that_choose_well_are_not() -> None:
    points = lattice(AB, 8)
    good = [Evaluation(row.weights, row.metrics, Fidelity.PREVIEW, "simple") for row in map(joint, points)]
    assert "alone" not in headline(summary_of([joint(weights) for weights in points] + good))


def test_previews_that_rank_well_and_are_far_off_are_named() -> None:
    points = lattice(AB, 8)
    low = [
        Evaluation(
            row.weights, {task: {"f1": own["f1"] / 4} for task, own in row.metrics.items()}, Fidelity.PREVIEW, "simple"
        )
        for row in map(joint, points)
    ]
    text = headline(summary_of([joint(weights) for weights in points] + low))
    errors = [0.75 * value for row in map(joint, points) for value in (row.metrics["a"]["f1"], row.metrics["b"]["f1"])]
    assert f"The simple previews alone are off by {sum(errors) / len(errors):.3f} on average." in text


def test_floors_that_no_weights_keep_are_named() -> None:
    summary = summary_of([joint(weights) for weights in lattice(AB, 8)])
    missed = with_preference(summary, summary.preference, [Floor("all", 0.99, False)])
    best = missed.recommendation
    assert best is not None
    start = headline(missed).split(" Joint finetuning")[0]
    assert start == f"No weights are likely to keep all>=0.99; {shares(best.weights)} come nearest."


def test_previews_that_lack_a_metric_are_left_out() -> None:
    points = lattice(AB, 8)
    told = Evaluation(TaskWeights(AB, (0.5, 0.5)), {"a": {"f1": 5.0}, "b": {}}, Fidelity.PREVIEW, "simple", 1)
    rows = [joint(weights) for weights in points] + [preview(weights) for weights in points]
    assert headline(summary_of([*rows, told])) == headline(summary_of(rows))
