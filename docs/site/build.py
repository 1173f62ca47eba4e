"""The site: pages of the repository, the reference made from the code, and one notebook, as HTML.

The pages keep working on GitHub as they are: they are copied, and only their links are changed: where they lead, and
that they are read as titles of pages, not as names of files. What a page links to and is no page itself (a file of
code, a test) becomes a page, too, so that the site needs no other.

    python docs/site/build.py --out build/site
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

sys.path.append(str(Path(__file__).parent))
from command_reference import reference
from page_titles import markdown_link, with_page_links

ROOT = Path(__file__).parents[2]
SITE = Path(__file__).parent

FRONT_PAGES = {
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "docs/README.md": "index.md",
}
"""Pages that have another name on the site. docs/README.md, the index by need, is a part of its first page."""

SECTIONS = {
    "Begin": ("five-minutes", "first-network", "readme"),
    "Your data": ("own-data", "doctor", "road-project", "fine-tune", "tracking", "weights"),
    "Use a model": ("results", "video", "serve", "deploy", "models", "performance", "scale"),
    "Look up": ("commands", "command-line", "python", "recipes", "metrics", "glossary"),
    "Understand": ("experiments", "skip-scaling", "performance-log"),
    "The project": ("changelog", "contributing", "security"),
}
"""The order of the menu. Pages that it does not name are added at its end, those that are not there are left out."""

MENU_TITLES = {
    "readme": "On one page",
    "doctor": "Check data",
    "command-line": "Every option",
    "recipes": "Recipes and knobs",
}
"""Pages whose own title says too little, or too much, in the menu."""

_OTHER_TITLES = {"readme.md": "atonce on one page"}
"""Pages whose own title another page of the site has, too: a search shows both."""

_FENCE = re.compile(r"(^```.*?^```\n)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()(?P<target>[^)\s#]+)(?P<anchor>#[^)\s]*)?(?=\))")
_FILE_AS_TEXT = re.compile(r"\[`?[\w./-]+\.(?:md|ipynb)`?\](?=\((?P<target>[^)\s#]+)(?:#[^)\s]*)?\))")
_EXTERNAL = ("http:", "https:", "mailto:")
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".js": "javascript", ".css": "css", ".html": "html"}


def stage(target: Path) -> None:
    """Write the source of the site, which Sphinx then reads, into an empty folder."""
    kinds = (".md", ".ipynb")
    pages = {f"docs/{path.name}": path.name for path in sorted((ROOT / "docs").iterdir()) if path.suffix in kinds}
    pages |= FRONT_PAGES
    others: set[str] = set()

    def address(page: str, linked: str) -> str:
        """The address on the site of what a page of the repository links to."""
        path = os.path.normpath(Path(page).parent / linked).replace(os.sep, "/")
        if path in pages:
            return pages[path]
        others.add(path)
        return f"files/{path}" if Path(path).suffix in {".svg", ".jpg", ".png"} else f"files/{path}.md"

    def title(page: str, linked: str) -> str | None:
        """The title of the page that a page links to; None for what is no page."""
        path = os.path.normpath(Path(page).parent / linked).replace(os.sep, "/")
        return title_of(ROOT / path, pages[path]) if path in pages and not linked.startswith(_EXTERNAL) else None

    for page, name in pages.items():
        text = with_titles((ROOT / page).read_text("utf-8"), lambda to, page=page: title(page, to))
        text = with_links(text, lambda to, page=page: address(page, to))
        if name.endswith(".md"):
            text = outside_of_code(text, lambda part: with_page_links(part, markdown_link))
        if name in _OTHER_TITLES:
            text = re.sub(r"^# .+$", f"# {_OTHER_TITLES[name]}", text, count=1, flags=re.MULTILINE)
        if name.endswith(".ipynb"):
            text = with_download(text, others, page)
        write(target / name, text)
    for path in sorted(others):
        place = target / "files" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, place)
        if place.suffix not in {".svg", ".jpg", ".png", ".ipynb"}:
            write(place.with_name(f"{place.name}.md"), page_of_a_file(path))
    for path in sorted(SITE.iterdir()):
        if path.suffix == ".rst":
            text = path.read_text("utf-8")
            write(target / path.name, text + reference() if path.stem == "command-line" else text)
        if path.is_dir() and path.name in {"_static", "python"}:
            shutil.copytree(path, target / path.name)
    add_missing_names(target)
    names = {path.stem for path in target.iterdir() if path.suffix in {".md", ".rst", ".ipynb"}}
    by_need = (target / "index.md").read_text("utf-8").partition("\n")[2]
    front = (SITE / "index.md").read_text("utf-8")
    write(target / "index.md", f"{front}\n{by_need}\n{menu(names - {'index'})}")


def add_missing_names(target: Path) -> None:
    """Add a page to the reference of the public names that no page of it has yet."""
    pages = "".join(path.read_text("utf-8") for path in (target / "python").glob("*.rst"))
    module = ast.parse((ROOT / "src/atonce/__init__.py").read_text("utf-8"))
    (public,) = (
        ast.literal_eval(node.value)
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    documented = set(re.findall(r":: atonce\.(\w+)\b(?!\.)", pages))
    missing = [name for name in public if not name.startswith("_") and name not in documented]
    if missing:
        entries = (
            f".. autoclass:: atonce.{name}\n   :members:\n"
            if name[0].isupper()
            else f".. autofunction:: atonce.{name}\n"
            for name in missing
        )
        write(target / "python" / "more.rst", "More\n====\n\n" + "\n".join(entries))
        write(target / "python.rst", (target / "python.rst").read_text("utf-8").rstrip() + "\n   python/more\n")


def with_links(text: str, address: Callable[[str], str]) -> str:
    """The text with another address for each local link outside of its blocks of code."""

    def replace(match: re.Match[str]) -> str:
        if match["target"].startswith(_EXTERNAL):
            return match[0]
        return address(match["target"]) + (match["anchor"] or "")

    return outside_of_code(text, lambda part: _LINK.sub(replace, part))


def outside_of_code(text: str, change: Callable[[str], str]) -> str:
    """The text, changed but for its blocks of code."""
    parts = _FENCE.split(text)
    return "".join(part if part.startswith("```") else change(part) for part in parts)


def with_download(notebook: str, others: set[str], page: str) -> str:
    """The notebook with a line below its title that offers its file, as it is in the repository."""
    others.add(page)
    data = json.loads(notebook)
    title, *rest = "".join(data["cells"][0]["source"]).split("\n")
    line = f"{{download}}`Download this page as a notebook <files/{page}>`, for Jupyter, VS Code or Colab."
    data["cells"][0]["source"] = "\n".join([title, "", line, *rest])
    return json.dumps(data, indent=1, ensure_ascii=False)


def with_titles(text: str, title: Callable[[str], str | None]) -> str:
    """The text with titles as what is read of a link to a page, where that is the name of its file."""

    def replace(match: re.Match[str]) -> str:
        found = title(match["target"])
        return match[0] if found is None else f"[{found}]"

    return outside_of_code(text, lambda part: _FILE_AS_TEXT.sub(replace, part))


def title_of(page: Path, name: str) -> str:
    """The title of a page in the menu: its first heading, or another where that says too little."""
    if (stem := Path(name).stem) in MENU_TITLES:
        return MENU_TITLES[stem]
    text = page.read_text("utf-8")
    if page.suffix == ".ipynb":
        text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    (first,) = re.findall(r"^# (.+)$", text, re.MULTILINE)[:1]
    return first


def page_of_a_file(path: str) -> str:
    """A page that shows a file of the repository; what it holds is not searched for."""
    name = path.rpartition("/")[2]
    language = _LANGUAGES.get(Path(path).suffix, "text")
    return (
        f"---\norphan: true\nnosearch: true\n---\n# {name}\n\n`{path}` ({{download}}`download <{name}>`)\n\n"
        f"```{{literalinclude}} {name}\n:language: {language}\n:linenos:\n```\n"
    )


def menu(names: Iterable[str]) -> str:
    """The menu of all pages, for the side of each."""
    left = set(names)
    parts = []
    for caption, pages in SECTIONS.items():
        there = [page for page in pages if page in left]
        left -= set(there)
        parts.append((caption, there))
    parts.append(("More", sorted(left)))

    def line(page: str) -> str:
        return f"{MENU_TITLES[page]} <{page}>" if page in MENU_TITLES else page

    return "\n".join(
        "```{toctree}\n:hidden:\n:caption: " + caption + "\n\n" + "\n".join(map(line, there)) + "\n```\n"
        for caption, there in parts
        if there
    )


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


class _Page(HTMLParser):
    """The addresses that an HTML page leads to, and the names of places that it has."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.places.add(value)
            if name in ("href", "src") and value and tag != "base":
                self.links.append(value)


def dead_links(site: Path) -> list[str]:
    """Every link that leads to no file, or no place, of the site. Those to other sites are not followed."""
    pages = {path: _Page(path) for path in sorted(site.rglob("*.html"))}
    dead = []
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:|//", link):
                continue
            target, _, place = unquote(link).partition("#")
            target = target.partition("?")[0]
            goal = (path.parent / target).resolve() if target else path
            if not goal.is_file() or (place and goal in pages and place not in pages[goal].places):
                dead.append(f"{path.relative_to(site)}: {link}")
    return dead


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", help="folder of the site; build/site")
    parser.add_argument("--quick", action="store_true", help="show the notebook without executing it")
    options = parser.parse_args()
    out = options.out.resolve()
    source = out.with_name(f"{out.name}-source")
    for folder in (out, source):
        shutil.rmtree(folder, ignore_errors=True)
    source.mkdir(parents=True)
    stage(source)

    from sphinx.cmd.build import build_main

    quick = ["-D", "nb_execution_mode=off"] if options.quick else []
    # -W: a warning is an error; -n: so is a name in the reference that leads nowhere.
    code = build_main(["-W", "--keep-going", "-n", "-q", "-j", "auto", *quick, "-c", str(SITE), str(source), str(out)])
    if code:
        return code
    dead = dead_links(out)
    sys.stderr.write("".join(f"dead link: {link}\n" for link in dead))
    pages = len(list(out.rglob("*.html")))
    sys.stdout.write(f"{pages} pages, {len(dead)} dead links: {out / 'index.html'}\n")
    return 1 if dead else 0


if __name__ == "__main__":
    sys.exit(main())
