"""Hooks of mkdocs: pages that are made when the site is built, and links that leave the folder of the docs."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from reference import api_page, commands_page, recipe_page

__all__ = ["on_files", "on_page_markdown"]

ROOT = Path(__file__).parents[1]
COPIED = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the reference pages, the changelog and the page for contributors."""
    pages = {
        "reference/commands.md": commands_page(),
        "reference/recipe.md": recipe_page(),
        "reference/api.md": api_page(),
        **{name: (ROOT / source).read_text(encoding="utf-8") for source, name in COPIED.items()},
    }
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links for a code host into links of the site."""
    return _links_of_site(markdown, page.file.src_uri in COPIED.values())


def _links_of_site(markdown: str, is_from_root: bool) -> str:
    """Rewrite links: pages of the root have a place of their own here, and other files of the project have none.

    >>> _links_of_site("[all](../CHANGELOG.md), [figures](../benchmarks/results/merge.json)", False)
    '[all](changelog.md), figures'
    >>> _links_of_site("[trust](docs/trust.md)", True)
    '[trust](trust.md)'
    """
    if is_from_root:
        markdown = markdown.replace("](docs/", "](")
    for source, name in COPIED.items():
        markdown = re.sub(rf"\]\((\.\./)?{re.escape(source)}", f"]({name}", markdown)
    return re.sub(r"\[([^\]]+)\]\(\.\./[^)]*\)", r"\1", markdown)
