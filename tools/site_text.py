"""What the site changes in texts that are written for other places: links, and doctests of docstrings."""

import re

__all__ = ["COPIED", "fence_doctests", "links_of_site"]

COPIED = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
_DOCTEST = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)


def links_of_site(markdown: str, is_from_root: bool) -> str:
    """Rewrite links: pages of the project's root have a place on the site, and other files have none.

    >>> links_of_site("[all](../CHANGELOG.md), [figures](../benchmarks/results/merge.json)", False)
    '[all](changelog.md), figures'
    >>> links_of_site("[trust](docs/trust.md)", True)
    '[trust](trust.md)'
    """
    if is_from_root:
        markdown = markdown.replace("](docs/", "](")
    for source, name in COPIED.items():
        markdown = re.sub(rf"\]\((\.\./)?{re.escape(source)}", f"]({name}", markdown)
    return re.sub(r"\[([^\]]+)\]\(\.\./[^)]*\)", r"\1", markdown)


def fence_doctests(text: str) -> str:
    r"""Put fences around the doctests of a docstring that stand at its margin.

    >>> fence_doctests("Add.\n\n>>> 1 + 1\n2")
    'Add.\n\n```pycon\n>>> 1 + 1\n2\n```'
    """
    return _DOCTEST.sub(lambda block: f"```pycon\n{block[0]}\n```", text)
