"""Names of fidelities: how a user calls the way in which a run was made, and how rows keep it.

``joint`` is a joint run. ``preview:simple`` is a merged preview by a method of foretaste. Any other name, such as
``proxy-60m`` or ``step-1000``, is a cheap run that was made elsewhere.
"""

import re
from dataclasses import replace

from foretaste.errors import DataError
from foretaste.evaluation import Evaluation, Fidelity, MethodSteps
from foretaste.method_table import METHOD_TABLE, current_name

__all__ = ["fidelity_name", "parse_fidelity"]

_PREVIEW = "preview:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def parse_fidelity(name: str) -> tuple[Fidelity, MethodSteps]:
    """Read the name of a fidelity.

    Raises:
        DataError: The name is empty, has other characters than letters, digits, ``-``, ``_`` and ``.``, or means
            something else.

    >>> parse_fidelity("proxy-60m")
    (<Fidelity.PREVIEW: 'preview'>, MethodSteps(name='proxy-60m', steps=0))
    >>> parse_fidelity("preview:simple+30")
    (<Fidelity.SHARPENED: 'sharpened'>, MethodSteps(name='simple', steps=30))
    """
    if name == Fidelity.JOINT:
        return Fidelity.JOINT, MethodSteps(str(Fidelity.JOINT))
    if name.startswith(_PREVIEW):
        method = MethodSteps.parse(name.removeprefix(_PREVIEW))
        method = replace(method, name=current_name(method.name))
        if method.name not in METHOD_TABLE:
            raise DataError(
                f"fidelity {name!r} names no preview method of foretaste; they are {', '.join(METHOD_TABLE)}; for a"
                " cheap run made elsewhere write a name of your own, such as proxy-60m"
            )
        return (Fidelity.SHARPENED if method.steps else Fidelity.PREVIEW), method
    own = current_name(name.lower())
    if own in METHOD_TABLE or own in set(Fidelity):
        advice = f"preview:{own}" if own in METHOD_TABLE else "joint, preview:METHOD"
        raise DataError(f"fidelity {name!r} means something else; write {advice}, or another name")
    if not _NAME.fullmatch(name):
        raise DataError(
            f"fidelity {name!r} is not understood; write joint, preview:METHOD, or a name of letters, digits, - _ and ."
        )
    return Fidelity.PREVIEW, MethodSteps(name)


def fidelity_name(row: Evaluation) -> str:
    """Return the name of a row's fidelity, as `parse_fidelity` reads it.

    >>> from foretaste.weights import uniform
    >>> fidelity_name(Evaluation(uniform("ab"), {}, Fidelity.PREVIEW, "proxy-60m"))
    'proxy-60m'
    >>> fidelity_name(Evaluation(uniform("ab"), {}, Fidelity.PREVIEW, "simple"))
    'preview:simple'
    """
    if row.fidelity == Fidelity.JOINT:
        return str(Fidelity.JOINT)
    return f"{_PREVIEW}{row.label}" if row.method in METHOD_TABLE else row.label
