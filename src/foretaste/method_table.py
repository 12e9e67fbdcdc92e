"""The table of preview methods: one row each.

What a method does is in the file that its row names (`foretaste.methods`).

Rows hold what recipes, options, reports and predictions need to know, so that none of these import torch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from foretaste.errors import RecipeError
from foretaste.field_names import nearest

__all__ = [
    "METHOD_TABLE",
    "MethodRow",
    "add_method",
    "check_method_name",
    "current_name",
    "read_methods",
    "with_controls",
]


@dataclass(frozen=True)
class MethodRow:
    """What is known of a preview method without making previews.

    Args:
        name: In recipes, options and rows.
        title: For tables and help.
        implementation: Where the `foretaste.methods.method.Method` is, as ``module:class``.
        has_curvature: Whether the prior's precision matters: without curvature it does not.
        trains: Whether it needs more training runs than one per task.
        controls: Methods that are previewed beside it, to judge its gain by.
        is_control: Whether it is there to judge another method by.
        has_params: Whether a preview has params; if not, it mixes the predictions of the tasks' models.
        has_anchor: Whether it is corrected by the joint run at uniform weights.
        coordinates: Where its curvature lives: ``trained`` params alone, so that it cannot merge the updates of models
            that are trained by LoRA; ``lora`` for what only such models have; or ``any``.
        credit: How far its previews are trusted beside others before there is any joint run.
        former_name: The name it once had. Recipes and studies with that name are read, and keys still hold it, so that
            no preview is made again.
    """

    name: str
    title: str
    implementation: str
    has_curvature: bool = True
    trains: bool = False
    controls: tuple[str, ...] = ()
    is_control: bool = False
    has_params: bool = True
    has_anchor: bool = False
    coordinates: Literal["any", "trained", "lora"] = "any"
    credit: float = 1.0
    former_name: str = ""

    @property
    def name_in_keys(self) -> str:
        """The name that the keys of its previews hold."""
        return self.former_name or self.name


_ROOM = "foretaste.methods"

METHOD_TABLE: dict[str, MethodRow] = {
    row.name: row
    for row in (
        MethodRow("simple", "simple averaging (isotropic)", f"{_ROOM}.simple:Simple", has_curvature=False),
        MethodRow("diagonal", "diagonal Gaussian (Fisher)", f"{_ROOM}.diagonal:Diagonal", credit=2.0),
        MethodRow(
            "variational",
            "diagonal Gaussian, learned by IVON",
            f"{_ROOM}.variational:Variational",
            trains=True,
            coordinates="trained",
        ),
        MethodRow("kronecker", "Kronecker-factored Gaussian (EKFAC)", f"{_ROOM}.kronecker:Kronecker", credit=8.0),
        MethodRow(
            "lowrank",
            "diagonal + low rank (secants of K runs)",
            f"{_ROOM}.lowrank:LowRank",
            trains=True,
            coordinates="trained",
            credit=2.0,
        ),
        MethodRow(
            "anchored",
            "Kronecker or diagonal, corrected at one joint run",
            f"{_ROOM}.anchored:Anchored",
            trains=True,
            has_anchor=True,
            credit=16.0,
        ),
        MethodRow(
            "mixture",
            "mixture of K runs (EM)",
            f"{_ROOM}.mixture:Mixture",
            trains=True,
            controls=("average", "weighted"),
        ),
        MethodRow(
            "average",
            "plain average of the same K runs",
            f"{_ROOM}.average:Average",
            has_curvature=False,
            trains=True,
            is_control=True,
        ),
        MethodRow(
            "weighted",
            "curvature-weighted average of the same K runs",
            f"{_ROOM}.weighted:Weighted",
            trains=True,
            is_control=True,
        ),
        MethodRow(
            "factors",
            "LoRA factors A and B averaged apart",
            f"{_ROOM}.factors_apart:FactorsApart",
            has_curvature=False,
            is_control=True,
            coordinates="lora",
        ),
        MethodRow(
            "predictive",
            "mixture of the tasks' predictions, no params",
            f"{_ROOM}.predictive:Predictive",
            has_curvature=False,
            has_params=False,
            former_name="ensemble",
        ),
    )
}


def add_method(row: MethodRow) -> None:
    """Make a method of your own known: recipes, options and reports then take its name.

    Args:
        row: Its class must be importable wherever the work runs.

    Raises:
        RecipeError: There is another method of this name.
    """
    existing = METHOD_TABLE.setdefault(row.name, row)
    if existing != row:
        raise RecipeError(f"there is a method called {row.name} already ({existing.title}); choose another name")


def current_name(name: str) -> str:
    """Return the name that a method has today; any other name is returned as it is.

    >>> current_name("ensemble"), current_name("simple"), current_name("joint")
    ('predictive', 'simple', 'joint')
    """
    return next((row.name for row in METHOD_TABLE.values() if name and name == row.former_name), name)


def check_method_name(name: str) -> str:
    """Return the name that a method has today, if there is a method of this name.

    Raises:
        RecipeError: There is none.

    >>> check_method_name("ensemble")
    'predictive'
    >>> check_method_name("diagonl")
    Traceback (most recent call last):
    ...
    foretaste.errors.RecipeError: there is no method 'diagonl'; did you mean diagonal?
    """
    current = current_name(name)
    if current not in METHOD_TABLE:
        raise RecipeError(f"there is no method {name!r}; {nearest(name, list(METHOD_TABLE))}")
    return current


def read_methods(names: str | Sequence[str]) -> list[str]:
    """Read the names of methods: one or several.

    Raises:
        RecipeError: There is no such method, or one is named twice.

    >>> read_methods("simple"), read_methods(["simple", "diagonal"])
    (['simple'], ['simple', 'diagonal'])
    """
    methods = [check_method_name(name) for name in ([names] if isinstance(names, str) else names)]
    if (twice := next((name for name in methods if methods.count(name) > 1), None)) is not None:
        raise RecipeError(f"{twice} is named twice; name each method once")
    return methods


def with_controls(methods: Sequence[str]) -> list[str]:
    """Add its controls after each method: without them its gain may be that of averaging more runs.

    >>> with_controls(["simple", "mixture"])
    ['simple', 'mixture', 'average', 'weighted']
    """
    return list(dict.fromkeys(name for method in methods for name in (method, *METHOD_TABLE[method].controls)))
