"""Writes the client's guides and reference into a folder: `make docs`.

    PYTHONPATH=client python -W error -m reference FOLDER

The pages need nothing from elsewhere: they can be read from the disk. What pdoc warns of ends the run, as
`make docs` turns warnings into errors.
"""

import argparse
import importlib
import shutil
import sys
from pathlib import Path

import pdoc
from pdoc import render

from .aliases import name_aliases
from .comments import add_comments
from .docstrings import to_markdown
from .guides import Guide, guides
from .public_modules import public_modules

PROJECT = Path(__file__).resolve().parents[2]
TEMPLATES = Path(__file__).parent / "templates"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where the pages go; what is there is removed")
    options = parser.parse_args()
    write(options.folder)
    print(options.folder / "index.html")
    return 0


def write(folder: Path) -> None:
    """Write every page into an empty folder."""
    pages = guides(PROJECT / "docs" / "client", project=PROJECT)
    for name in public_modules():
        importlib.import_module(name)
    name_aliases("qface_client")
    modules = {name: pdoc.doc.Module.from_name(name) for name in public_modules()}
    for module in modules.values():
        add_comments(module)

    render.configure(docformat="markdown", show_source=False, search=True, template_directory=TEMPLATES)
    render.env.filters["to_markdown"] = to_markdown
    render.env.globals["guides"] = pages

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for page in pages:
        (folder / page.file).write_text(guide_page(page, modules), encoding="utf-8")
    for name, module in modules.items():
        file = folder / f"{name.replace('.', '/')}.html"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(render.html_module(module, modules), encoding="utf-8")
    (folder / "search.js").write_text(render.search_index(modules), encoding="utf-8")


def guide_page(page: Guide, modules: dict[str, pdoc.doc.Module]) -> str:
    """A guide as HTML, in the frame of the reference's pages."""
    template = render.env.get_template("guide.html.jinja2")
    text: str = template.render(page=page, all_modules=modules, module=None)
    return text


if __name__ == "__main__":
    sys.exit(main())
