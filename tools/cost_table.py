"""Print the table of docs/cost.md: what typical studies cost, by the formula of `foretaste.workflow.cost`."""

from foretaste.workflow.cost import StudySize, study_cost

__all__ = ["cost_table"]

_BERT, _LLAMA = 110_000_000, 8_000_000_000
_FACTORS = 42_000_000  # LoRA of rank 16 on all linear layers of a model of 8 billion params,
_WEIGHTS = 6_980_000_000  # whose weights have as many entries
CASES = {
    "classifier of 110 million params, defaults": StudySize(_BERT, tasks=3),
    "the same, diagonal previews": StudySize(_BERT, tasks=3, curvature=1),
    "the same, diagonal previews, 3 joint runs": StudySize(_BERT, tasks=3, curvature=1, joint_runs=3),
    "language model of 8 billion params, LoRA, diagonal previews": StudySize(
        _FACTORS, _LLAMA, _WEIGHTS, tasks=3, curvature=1, joint_runs=4, previews=21, steps=1000
    ),
    "the same, attention's queries and values alone": StudySize(
        6_800_000, _LLAMA, 671_000_000, tasks=3, curvature=1, joint_runs=4, previews=21, steps=1000
    ),
    "language model of 8 billion params, all trained, diagonal previews": StudySize(
        _LLAMA, tasks=3, curvature=1, joint_runs=4, previews=21, steps=1000
    ),
}


def cost_table() -> str:
    """Write the table of typical studies as Markdown."""
    lines = [
        "| study | tasks | joint runs | trainings | evaluations | disk, GB | memory, GB |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, size in CASES.items():
        cost = study_cost(size)
        figures = (size.tasks, size.joint_runs, cost.trainings, cost.evaluations)
        amounts = (f"{amount / 1e9:,.1f}" for amount in (cost.disk_bytes, cost.memory_bytes))
        lines.append("| " + " | ".join([name, *map(str, figures), *amounts]) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(cost_table(), end="")
