"""What runs of each fidelity cost, in a study whose runs are made elsewhere."""

import hashlib
import math

from foretaste.errors import DataError
from foretaste.evaluation import Fidelity
from foretaste.store.study import StudyStore
from foretaste.surface.fidelities import fidelity_name, parse_fidelity

__all__ = ["check_cost", "fidelity_costs", "set_fidelity_cost", "stored_costs"]


def set_fidelity_cost(study: StudyStore, name: str, cost: float) -> None:
    """Note what a run of a fidelity costs, for runs that do not tell it themselves.

    Args:
        study: Any.
        name: The fidelity.
        cost: Seconds, or a share of a joint run; the same unit for all fidelities of a study.

    Raises:
        DataError: The name is not understood, or the cost is not above 0.
    """
    check_cost(name, cost)
    if stored_costs(study).get(name) != cost:
        number = len(study.all_work("fidelity"))
        key = hashlib.sha256(f"fidelity|{name}|{cost!r}|{number}".encode()).hexdigest()
        study.add("fidelity", key, {"name": name, "cost": cost, "outside": True}, {}, None, 0.0)


def check_cost(name: str, cost: float) -> None:
    """Check the name and the cost of a fidelity.

    Args:
        name: The fidelity.
        cost: Seconds, or a share of a joint run.

    Raises:
        DataError: The name is not understood, or the cost is not above 0.

    >>> check_cost("proxy-60m", 0.05)
    """
    parse_fidelity(name)
    if not (math.isfinite(cost) and cost > 0):
        raise DataError(f"the cost of {name} is {cost}; write a number above 0")


def fidelity_costs(study: StudyStore) -> dict[str, float]:
    """Return what a run of each fidelity costs, the cheapest first, as far as it was told or rows tell it."""
    costs: dict[str, list[float]] = {str(Fidelity.JOINT): []}
    for row in study.evaluations_after(0)[0]:
        if row.cost > 0:  # others do not say
            costs.setdefault(fidelity_name(row), []).append(row.cost)
    means = {name: sum(values) / len(values) for name, values in costs.items() if values}
    means.setdefault(str(Fidelity.JOINT), 1.0)
    return dict(sorted((means | stored_costs(study)).items(), key=lambda pair: pair[1]))


def stored_costs(study: StudyStore) -> dict[str, float]:
    """Return the costs that a study was given by name, not those of its rows."""
    return {str(work.inputs["name"]): float(work.inputs["cost"]) for work in study.all_work("fidelity")}
