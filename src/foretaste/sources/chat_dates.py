"""Dates in chats: a chat template that writes today's date writes a fixed one, so that all runs have the same rows."""

import datetime
import re

from foretaste.errors import DataError
from foretaste.sources.extra import transformers

__all__ = ["dated", "own_date", "pin_date", "writes_date"]

_USUAL = datetime.date(2024, 7, 26)  # that of Llama 3's templates
_FORM = "%d %b %Y"
_TODAY = re.compile(r"\bstrftime_now\b")
_VARIABLE = re.compile(r"\bdate_string\b")
_OWN = re.compile(r"""\bdate_string\s*=\s*(['"])(?P<date>[^'"]+)\1""")
_CODES = ("%-d", "%-m", *(f"%{letter}" for letter in "aAbBdeFHIjmMpSyY"))


def writes_date(template: str) -> bool:
    """Tell whether a chat template writes the day's date.

    >>> writes_date("{{ strftime_now('%d %b %Y') }}"), writes_date("{{ messages[0].content }}")
    (True, False)
    """
    return bool(_TODAY.search(template))


def own_date(template: str) -> datetime.date:
    """Return the date that a chat template falls back on, or a usual one.

    >>> own_date("{% set date_string = '05 Dec 2025' %}"), own_date("{{ strftime_now('%Y') }}")
    (datetime.date(2025, 12, 5), datetime.date(2024, 7, 26))
    """
    match = _OWN.search(template)
    try:
        return _USUAL if match is None else datetime.datetime.strptime(match["date"], _FORM).date()
    except ValueError:
        return _USUAL


def dated(template: str, date: datetime.date, *, override: bool = False) -> str:
    """Return a chat template that writes one date in place of today's, and is otherwise the same.

    Args:
        template: The template.
        date: The date.
        override: Whether the date is to take the place of one that the template names itself.

    >>> dated("{{ strftime_now('%Y') }}", datetime.date(2026, 1, 31)).splitlines()[1]
    "{{ strftime_now('%Y') }}"
    """
    replaced = "".join(f".replace('{code}', '{date.strftime(code)}')" for code in _CODES)
    lines = ["{% macro strftime_now(format) %}{{ format" + replaced + " }}{% endmacro %}"]
    if override:
        lines.append("{% set date_string = '" + date.strftime(_FORM) + "' %}")
    return "\n".join([*lines, template])  # transformers leaves out the line break after a block


def pin_date(
    tokenizer: "transformers.PreTrainedTokenizerBase", date: datetime.date | None = None
) -> datetime.date | None:
    """Make a tokenizer's chat template write one date, whatever the day; others are left as they are.

    Args:
        tokenizer: The tokenizer, whose template is changed.
        date: The date; the template's own, or a usual one, if left out.

    Returns:
        The date that is written; None if none is.

    Raises:
        DataError: A date was given, and there is no template that writes one.
    """
    own = tokenizer.chat_template
    texts = {"": own} if isinstance(own, str) else dict(own or {})
    if date is not None and not any(writes_date(text) or _VARIABLE.search(text) for text in texts.values()):
        raise DataError("the checkpoint has no chat template that writes a date; remove this")
    if date is None and not any(map(writes_date, texts.values())):
        return None
    day = date or next(own_date(text) for text in texts.values() if writes_date(text))
    pinned = {name: dated(text, day, override=date is not None) for name, text in texts.items()}
    tokenizer.chat_template = pinned[""] if isinstance(own, str) else pinned
    return day
