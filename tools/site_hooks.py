"""Hooks of mkdocs: pages that are made when the site is built, and links that leave the folder of the docs."""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from reference import api_page, commands_page, recipe_page
from site_text import COPIED, links_of_site

__all__ = ["on_files", "on_page_markdown"]

ROOT = Path(__file__).parents[1]


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
    return links_of_site(markdown, page.file.src_uri in COPIED.values())
