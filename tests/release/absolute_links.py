"""Give the page of the package index links that work there: ``python absolute_links.py HOME COMMIT [FOLDER]``.

README.md links to files beside it, which the package index does not have. A release makes these links absolute, to the
commit it is built from, and writes ``[project.urls]``. HOME is the address of the repository, which the place where a
release is built knows, so that neither has to be kept up to date. Changes FOLDER (this repository) where it is.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path


def absolute(text: str, home: str, commit: str) -> str:
    """Return Markdown whose links and images all have an address."""

    def link(found: re.Match[str]) -> str:
        image, label, target = found.groups()
        if re.match(r"[a-z]+:|#", target):
            return found[0]
        return f"{image}[{label}]({home}/{'raw' if image else 'blob'}/{commit}/{target})"

    return re.sub(r"(!?)\[((?:[^\[\]]|\n)*)\]\(([^()\s]+)\)", link, text)


def urls(home: str, commit: str) -> str:
    """Return the section of pyproject.toml."""
    pages = {
        "Homepage": home,
        "Documentation": f"{home}/tree/{commit}/docs",
        "Source": home,
        "Changelog": f"{home}/blob/{commit}/CHANGELOG.md",
        "Issues": f"{home}/issues",
    }
    return "[project.urls]\n" + "".join(f'{name} = "{url}"\n' for name, url in pages.items()) + "\n"


def main(home: str, commit: str, folder: Path) -> None:
    home = home.rstrip("/")
    readme, project = folder / "README.md", folder / "pyproject.toml"
    readme.write_text(absolute(readme.read_text(encoding="utf-8"), home, commit), encoding="utf-8")
    text = project.read_text(encoding="utf-8")
    if "[project.urls]" in text:
        raise SystemExit("pyproject.toml has [project.urls] already")
    marker = "[project.scripts]\n"
    before, found, after = text.partition(marker)
    if not found:
        raise SystemExit(f"pyproject.toml has no {marker.strip()}")
    project.write_text(before + urls(home, commit) + marker + after, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3] if len(sys.argv) > 3 else Path(__file__).parents[2]))
