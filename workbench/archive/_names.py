"""Names of persons matched by meaning rather than by spelling (PS3.4 C.2.2.2.1, which leaves the rule to whoever matches).

Knows: the rule. A name is a set of words: what stands between carets, equal signs, commas, hyphens, dots, apostrophes and
spaces, without case and accents, and with letters such as ß, ø and æ in their plain spelling. A name matches a key if one
of its groups has, for each word of the key, a word of its own that is the same, or that its wildcards allow; in any order.
A word of asterisks alone stands for anything, also for nothing.
Does not know: sounds, nicknames, transliteration.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import lru_cache

__all__ = ["fuzzy_test", "words_of"]

_BETWEEN = re.compile(r"[\^,\s\-.'’]+")
_PLAIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"})


@lru_cache(maxsize=4096)
def words_of(name: str) -> tuple[tuple[str, ...], ...]:
    """Return the words of each group of a name.

    Examples
    --------
    >>> words_of("Müller-Lüdenscheidt^Hans Jørgen")
    (('muller', 'ludenscheidt', 'hans', 'jorgen'),)
    """
    return tuple(tuple(word for word in _BETWEEN.split(_plain(group)) if word) for group in name.split("="))


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if unicodedata.category(c) != "Mn").translate(_PLAIN)


def fuzzy_test(key: str, pattern: Callable[[str], Callable[[str], bool]]) -> Callable[[str], bool]:
    """Return the test for a key; `pattern` makes the test for a word with wildcards.

    Examples
    --------
    >>> accepts = fuzzy_test("jorgen muller", lambda word: word.__eq__)
    >>> accepts("Müller^Jørgen"), accepts("Müller^Jan")
    (True, False)
    """
    wanted = [tuple(pattern(word) for word in words if word.strip("*")) for words in words_of(key) if words]
    return lambda name: any(_all_have_one(tests, words) for tests in wanted for words in words_of(name))


def _all_have_one(tests: Sequence[Callable[[str], bool]], words: Sequence[str]) -> bool:
    """Whether each test has a word of its own that passes."""
    if len(tests) > len(words):
        return False
    allowed = [[place for place, word in enumerate(words) if test(word)] for test in tests]
    taken: dict[int, int] = {}

    def placed(number: int, tried: set[int]) -> bool:
        for place in allowed[number]:
            if place not in tried:
                tried.add(place)
                if place not in taken or placed(taken[place], tried):
                    taken[place] = number
                    return True
        return False

    return all(placed(number, set()) for number in range(len(tests)))
