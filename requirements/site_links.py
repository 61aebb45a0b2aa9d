"""A hook of mkdocs: links of a page to files outside the docs lead to the repository, as there is no such page on the site."""

import posixpath
import re
from typing import Any

LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)\s#]+)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:  # noqa: ANN401 - mkdocs' own objects
    """Return a page's text with such links written out; mkdocs calls this for every page."""
    return absolute(markdown, page.file.src_uri, config.repo_url)


def absolute(markdown: str, page: str, repository: str) -> str:
    """Return the text of a page (its place below `docs`) with links that leave the docs, or name a folder, written out."""

    def written(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), found[1]))
        inside = target.startswith("docs/") and posixpath.splitext(target)[1]
        return found[1] if inside else f"{repository}/blob/main/{target}"

    return LINK.sub(written, markdown)
