"""The recommendation as a section, and the joint run at the recommended weights."""

from foretaste.document.blocks import Block, Cell, Code, Column, List, Note, Section, Table, cell_of
from foretaste.document.wording import number, signed
from foretaste.report.confirmation import confirm_recommendation
from foretaste.report.sections.certainty import describe_certainty, describe_reason, describe_runner_up, too_few
from foretaste.report.sections.headline import headline
from foretaste.report.summary import Summary
from foretaste.surface.joint_shares import shares_table
from foretaste.surface.views import domains_table, weights_table

__all__ = ["confirmation_sections", "recommendation_section"]


def recommendation_section(summary: Summary, *, full: bool = False) -> Section:
    """Say which weights to choose, why, and how sure that is.

    Args:
        summary: What the study's rows say.
        full: Whether it is part of a document, which begins with the headline; elsewhere the section does.
    """
    best = summary.recommendation
    if best is None:
        return Section("Recommendation", (Note(too_few(summary)),), first=True)
    reason = describe_reason(summary)
    blocks: list[Block] = [
        *([] if full else [Note(headline(summary), tone="strong")]),
        Code(best.weights.key),
        *([] if summary.has_task_weights else [domains_table(best.weights)]),
        weights_table(best.weights, best.expected, best.low, best.high, summary.single or None),
        Note(_metrics(summary), tone="quiet"),
        Note(reason, "Why") if best.floors_met else Note(reason, "Floors not met", "warning"),
    ]
    if summary.joint_data is not None:
        blocks.append(shares_table(summary.joint_data, best.weights))
    if summary.caution:
        blocks.append(Note(summary.caution, "Caution", "warning"))
    blocks += [Note(f"{floor.floor} holds with probability {floor.chance:.0%}.", "Floor") for floor in best.floors]
    blocks.append(Note(describe_certainty(summary), "How sure"))
    if best.runners_up:
        blocks.append(List("Runners-up", tuple(map(describe_runner_up, best.runners_up))))
    return Section("Recommendation", tuple(blocks), first=True)


def _metrics(summary: Summary) -> str:
    """Name the metrics behind the numbers: once if all tasks share one."""
    names = {
        task: head.metric + ("" if head.higher_is_better else " (less is better)")
        for task, head in summary.surface.headlines.items()
    }
    if len(set(names.values())) == 1:
        return f"Metric: {next(iter(names.values()))}."
    return f"Metrics: {', '.join(f'{task} {metric}' for task, metric in names.items())}."


def confirmation_sections(summary: Summary) -> list[Section]:
    """Compare the joint run at the recommended weights with its preview; empty if there is no such run."""
    confirmation = confirm_recommendation(summary)
    if confirmation is None:
        return []
    lines = [
        (task, confirmation.previewed.get(task), value, confirmation.difference.get(task))
        for task, value in confirmation.joint.items()
    ]
    lines.append(
        (summary.objective, confirmation.previewed_value, confirmation.joint_value, confirmation.value_difference)
    )
    header = ["task", "previewed", "joint run", "difference"]
    rows: list[tuple[Cell, ...]] = [
        (cell_of(name), *map(cell_of, (number(previewed), number(real), signed(change))))
        for name, previewed, real, change in lines
    ]
    if confirmation.anchored:
        header, rows = header[:-1], [row[:-1] for row in rows]
    notes = (
        [Note("The previews are anchored to this joint run, so it does not test them.", tone="quiet")]
        if confirmation.anchored
        else []
    )
    table = Table(tuple(map(Column, header)), tuple(rows))
    return [Section("Joint run at the recommended weights", (table, *notes))]
