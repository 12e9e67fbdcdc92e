"""A search: one line a step, and at the end what was predicted for each joint run beside what it gave."""

from foretaste.document.blocks import Block, Cell, Column, Note, Section, Table, cell_of
from foretaste.document.wording import and_more, number, share, shares, span
from foretaste.report.sections.results import describe_accuracy
from foretaste.surface.hindsight import PastPrediction
from foretaste.surface.searched import Budget, Progress, SearchResult

__all__ = ["describe_step", "search_section"]


def describe_step(progress: Progress, budget: Budget) -> str:
    """Write one line: what is spent, the best weights so far, what another joint run may gain, and what comes next.

    >>> from foretaste.surface.outlook import outlook
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.recommend import recommend
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.weights import corners
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.JOINT, "joint") for w in corners("ab")]
    >>> prediction = outlook(Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows)), corners("ab"))
    >>> describe_step(Progress(recommend(prediction, Preference("mean", {})), Budget(0, 2, 0), ()), Budget(1, 4, 0))
    'joint runs 0/1, previews 2/4 | best so far a ...: 0... (0... to 0...) | expected gain of another joint run: 0.000'
    """
    counts = [
        ("joint runs", progress.spent.joint, budget.joint),
        ("previews", progress.spent.previews, budget.previews),
    ]
    counts += [("sharpened", progress.spent.sharpened, budget.sharpened)] if budget.sharpened else []
    spent = ", ".join(f"{name} {used}/{limit}" for name, used, limit in counts)
    best = progress.recommendation
    value = f"{number(best.value)} ({span(best.value_low, best.value_high)})"
    parts = [
        spent,
        f"best so far {shares(best.weights)}: {value}",
        f"expected gain of another joint run: {number(best.next_gain)}",
    ]
    if progress.next:
        first, more = progress.next[0], and_more(len(progress.next), 1)
        parts.append(f"next: {first.option.method} at {shares(first.weights)}" + (f" {more}" if more else ""))
    return " | ".join(parts)


def search_section(search: SearchResult) -> Section:
    """Compare joint runs with what was predicted for them, and say why the search ended."""
    blocks: list[Block] = []
    if search.past_predictions:
        blocks += [_predictions_table(search), Note(describe_accuracy(search.past_predictions))]
    blocks += [Note(f"{what}: {why}", "Failed", "warning") for what, why in search.failed.items()]
    return Section("", (*blocks, Note(f"The search ended: {search.stopped}.")))


def _predictions_table(search: SearchResult) -> Table:
    columns = [Column(task, ("predicted", "interval", "measured")) for task in search.recommendation.weights.names]
    return Table(
        (Column("weights"), *columns),
        tuple(map(_predictions_row, search.past_predictions)),
        title="Each joint run: what was predicted, and what it gave",
        narrow_parts=3,
        narrow_caption="Each cell: predicted metric, its 90 % interval, measured metric.",
    )


def _predictions_row(run: PastPrediction) -> tuple[Cell, ...]:
    """Weights and a cell for each task, marked where a run left its interval."""
    columns = zip(*(column.tolist() for column in (run.expected, run.low, run.high, run.real)), strict=True)
    cells = [
        Cell((number(expected), f"({span(low, high)})", number(real)), "" if low <= real <= high else "warning")
        for expected, low, high, real in columns
    ]
    return (cell_of(" ".join(share(weight) for weight in run.weights.values())), *cells)
