"""Write each notebook from its text form: ``make notebooks``."""

from pathlib import Path

import jupytext
import nbformat

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def from_text(text: Path) -> nbformat.NotebookNode:
    """The notebook that a text form means: numbered cell ids, no outputs, no machine's metadata."""
    notebook = jupytext.read(text)
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02}"
        cell.metadata = nbformat.from_dict({})
    return notebook


def main() -> None:
    """Write all notebooks."""
    for text in sorted((NOTEBOOKS / "text").glob("*.py")):
        nbformat.write(from_text(text), NOTEBOOKS / f"{text.stem}.ipynb")


if __name__ == "__main__":
    main()
