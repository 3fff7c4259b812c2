"""How Sphinx makes the reference from docs/*.md and the docstrings: ``python tasks.py docs`` writes build/docs."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "torch")  # before Keras is imported
HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests" / "support")]

import gallery
import simdrop
from signatures import MODULES
from sphinx.util import logging

project = "simdrop"
author = copyright = "The simdrop developers"
version = release = simdrop.__version__
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["pictures/README.md"]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
suppress_warnings = ["myst.header"]
default_role = "py:obj"  # numpydoc's `name`; a name that is no object of the reference is shown as code
autosummary_generate = False
autodoc_typehints = "none"  # the docstrings have them, in words
autodoc_member_order = "groupwise"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_xref_param_type = False
toc_object_entries_show_parents = "hide"

html_theme = "pydata_sphinx_theme"
html_title = "simdrop"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["simdrop.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "navigation_with_keys": True,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
    "header_links_before_dropdown": 8,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_context = {"default_mode": "auto"}
html_sidebars = {"index": [], "playground": []}


def every_public_name(app: Any, env: Any) -> None:
    """Warn, and so fail, for a public name that has no entry in the reference."""
    documented = {name for name, *_ in env.get_domain("py").get_objects()}
    for module in MODULES:
        for name in importlib.import_module(module).__all__:
            thing = f"{module}.{name}"
            if thing not in documented and thing not in MODULES and not name.startswith("__"):
                logging.getLogger(__name__).warning("%s is public and has no entry in docs/api", thing)


def core_name(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Find `Stream` in the docstrings of other modules: a name that is not theirs may be one of simdrop's own."""
    if node.get("refdomain") != "py" or "." in node["reftarget"]:
        return None
    target = f"simdrop.{node['reftarget']}"
    return env.get_domain("py").resolve_xref(env, node["refdoc"], app.builder, node["reftype"], target, node, content)


def setup(app: Any) -> None:
    """Write the gallery before Sphinx looks for pages; check the reference after it has read them."""
    app.connect("builder-inited", lambda app: gallery.write(HERE))
    app.connect("missing-reference", core_name)
    app.connect("env-check-consistency", every_public_name)
