"""A search: one line a step, and at the end what was expected of each joint run beside what it gave."""

from rich.console import Group
from rich.text import Text

from foretaste.report.fitting import Fitting, grid, listed
from foretaste.report.summary_json import plain
from foretaste.report.wording import number, share, shares, span, trimmed
from foretaste.surface.hindsight import Foretold, coverage, mean_error
from foretaste.surface.searched import Budget, Progress, Searched

__all__ = ["search_json", "searched", "step"]


def step(found: Progress, budget: Budget) -> str:
    """What is spent, the best weights so far with their interval, and what comes next.

    >>> from foretaste.surface.outlook import outlook
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.recommend import recommend
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.weights import corners
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.JOINT, "joint") for w in corners("ab")]
    >>> seen = outlook(Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows)), corners("ab"))
    >>> step(Progress(recommend(seen, Preference("mean", {})), Budget(0, 2, 0), ()), Budget(1, 4, 0))
    'joint runs 0/1, previews 2/4 | best a ...: 0... (0... to 0...) | one more joint run: +0.000 expected'
    """
    counts = [("joint runs", found.spent.joint, budget.joint), ("previews", found.spent.previews, budget.previews)]
    counts += [("sharpened", found.spent.sharpened, budget.sharpened)] if budget.sharpened else []
    best = found.recommendation
    spent = ", ".join(f"{name} {used}/{ours}" for name, used, ours in counts)
    value = f"{number(best.value)} ({span(best.value_low, best.value_high)})"
    said = f"{spent} | best {shares(best.weights)}: {value} | one more joint run: +{number(best.next_gain)} expected"
    if found.next:
        first, more = found.next[0], len(found.next) - 1
        said += f" | next: {first.option.method} at {shares(first.weights)}" + (f" and {more} more" if more else "")
    return said


def searched(found: Searched) -> Group:
    """Joint runs beside what had been expected of them, and why the search ended.

    >>> from foretaste.surface.outlook import outlook
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.recommend import recommend
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.weights import corners
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.JOINT, "joint") for w in corners("ab")]
    >>> seen = outlook(Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows)), corners("ab"))
    >>> best = recommend(seen, Preference("mean", {}))
    >>> str(searched(Searched(best, Budget(), "the budget is spent", {}, ())).renderables[-1])
    'The search ended: the budget is spent.'
    """
    parts: list[Fitting | Text] = []
    if found.foretold:
        parts += [_foretold(found), Text(_kept(found)), Text()]
    parts += [Text(f"Failed: {what}: {why}", "yellow") for what, why in found.failed.items()]
    return Group(*parts, Text(f"The search ended: {found.stopped}."))


def _foretold(found: Searched) -> Fitting:
    names = found.recommendation.weights.names
    title, header = "What was expected of each joint run, and what it gave", ["weights", *map(trimmed, names)]
    glued = [(grid, " ", " "), (grid, "\n", "\n"), (listed, " ", "\n")]
    return Fitting(tuple(shape(title, header, [_line(each, glue, within) for each in found.foretold]) for shape, glue, within in glued))


def _line(each: Foretold, glue: str, within: str) -> list[str | Text]:
    """Weights and a cell for each task; yellow where a run left its interval."""
    columns = [column.tolist() for column in (each.expected, each.low, each.high, each.real)]
    cells = [
        Text(f"{number(expected)}{within}({span(low, high)}):{within}{number(real)}", "" if low <= real <= high else "yellow")
        for expected, low, high, real in zip(*columns, strict=True)
    ]
    return [glue.join(share(weight) for weight in each.weights.values()), *cells]


def _kept(found: Searched) -> str:
    covered, off = coverage(found.foretold), mean_error(found.foretold)
    return f"In their 90 % interval: {covered:.0%} of the metrics; off by {number(off)} on average." if covered is not None else ""


def search_json(found: Searched) -> dict[str, object]:
    """The same, ready for `json.dumps`.

    >>> from foretaste.surface.outlook import outlook
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.recommend import recommend
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.weights import corners
    >>> rows = [Evaluation(w, {t: {"accuracy": w[t]} for t in w}, Fidelity.JOINT, "joint") for w in corners("ab")]
    >>> seen = outlook(Surface({t: Headline("accuracy") for t in "ab"}, tuple(rows)), corners("ab"))
    >>> search_json(Searched(recommend(seen, Preference("mean", {})), Budget(1, 2, 3), "done", {}, ()))["spent"]
    {'joint': 1, 'previews': 2, 'sharpened': 3}
    """
    runs = [
        {"weights": each.weights, "expected": each.expected.tolist(), "low": each.low.tolist(), "high": each.high.tolist()}
        | {"real": each.real.tolist()}
        for each in found.foretold
    ]
    spent = {"joint": found.spent.joint, "previews": found.spent.previews, "sharpened": found.spent.sharpened}
    return {
        "spent": spent,
        "stopped": found.stopped,
        "failed": dict(found.failed),
        "foretold": plain(runs),
        "coverage": coverage(found.foretold),
        "mean_error": mean_error(found.foretold),
    }
