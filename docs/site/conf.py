"""Sphinx: how the pages become a site. `build.py` brings them together and calls it."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from docutils import nodes
from pygments.lexers.special import TextLexer
from sphinx.domains.python import PyXRefRole

import atonce

sys.path.append(str(Path(__file__).parent))
from page_titles import rst_link, with_page_links

project = "atonce"
author = "the atonce authors"
copyright = author
version = release = atonce.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
]
# Of files, the pages that show them are read, not they themselves.
exclude_patterns = ["_static", "files/**/*.ipynb"]
highlight_language = "none"
# Names of other packages are written as they are: no other site is asked for its own when this one is built.
nitpick_ignore_regex = [(r"py:.*", r"(?!atonce\.).*")]
# A name in backticks leads to its entry, where it has one.
default_role = "name"

# Links to headings, as GitHub names them.
myst_heading_anchors = 4
# A notebook is executed at each build, and one that fails fails the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 900
nb_merge_streams = True
# Warnings of packages about the machine that builds the site.
nb_output_stderr = "remove"

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"
autoclass_content = "class"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

html_theme = "furo"
html_title = f"atonce {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False


def setup(app: Any) -> None:
    # The picture of the layers in CONTRIBUTING.md, which a test reads, and Triton's settings, which no lexer knows.
    for name in ("house", "pbtxt"):
        app.add_lexer(name, TextLexer)
    app.add_role("name", Name())
    app.connect("missing-reference", public_address)
    app.connect("viewcode-follow-imported", where_its_source_is)
    app.connect("autodoc-process-docstring", link_pages)


class Name(PyXRefRole):
    """Text in backticks: a name of the package that is looked up, or anything else, which is set as code."""

    def run(self) -> Any:
        if re.fullmatch(r"[A-Z]\w+|atonce(\.\w+)+(\(\))?", self.text):
            self.name = "py:obj"
            return super().run()
        return [nodes.literal(self.rawtext, self.text)], []


def public_address(app: Any, env: Any, node: Any, content: nodes.Node) -> nodes.Node | None:
    """Lead from where a name is defined, which is what annotations say, to the public address that documents it.

    A name that is documented nowhere is set as it is, and one that does not exist is a mistake.
    """
    place, _, name = node["reftarget"].rpartition(".")
    if node.get("refdomain") != "py" or (place and not place.startswith("atonce")):
        return None
    python = env.get_domain("py")
    for address, entry in python.objects.items():
        if address.rpartition(".")[2] == name and (place or entry.objtype in ("class", "function", "exception")):
            return python.resolve_xref(env, node["refdoc"], app.builder, node["reftype"], address, node, content)
    return content if place and exists(node["reftarget"]) else None


def where_its_source_is(app: Any, module: str, name: str) -> str | None:
    """Leave out the source of what is documented by another address than the public names of its module.

    A page of source leads back to one address for each module, which would be wrong for these: they are said to be of
    the package itself, where they are not found.
    """
    public = {getattr(atonce, name).__module__ for name in atonce.__all__ if name != "__version__"}
    # Of a method, its class.
    home = getattr(getattr(import_module(module), name.partition(".")[0], None), "__module__", module)
    return "atonce" if module != "atonce" and home in public else None


def link_pages(app: Any, what: str, name: str, thing: object, options: Any, lines: list[str]) -> None:
    """Make links of the pages that a docstring names by their titles."""
    lines[:] = with_page_links("\n".join(lines), rst_link).split("\n")


def exists(name: str) -> bool:
    """Tell whether there is a thing of this dotted name."""
    try:
        resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True
