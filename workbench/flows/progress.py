"""Progress bars for long work: in a notebook as a widget, in a terminal as a line.

Knows: tqdm.
Does not know: what is being done.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm.auto import tqdm

__all__ = ["progress"]


@contextmanager
def progress(what: str) -> Iterator[Callable[..., None]]:
    """Show how far something is; give what the workbench's functions take as ``progress=``.

    Parameters
    ----------
    what : str
        What stands before the bar.

    Yields
    ------
    callable
        Called with how many are done and, where it is known, how many there are.

    Examples
    --------
    >>> with progress("counting") as tick:
    ...     tick(1, 2)
    ...     tick(2, 2)
    """
    with tqdm(desc=what, unit="", leave=False) as bar:

        def tick(done: int, total: int | None = None) -> None:
            if total is not None:
                bar.total = total
            bar.update(done - bar.n)

        yield tick
