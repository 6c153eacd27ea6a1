from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from services.gateway.http.page import STATIC
from services.mesh.profiles import profiles

CATALOGUES = ("common", "shop", "console")
LANGUAGES = ("en", "de", "fr")

# Each page with the module that it begins with and the catalogues that it loads.
PAGES = {
    "index.html": ("app.js", ("common", "shop")),
    "console/index.html": ("console/app.js", ("common", "console")),
}

# Keys that are put together in ways that a reader of single lines cannot follow.
PUT_TOGETHER = ("term.", "share.", "import.problem.")

# French writes a narrow space before these.
HIGH_SIGNS = re.compile(r"(?<!\u202f)[;:!?]")

# Words that are the English ones, names among them.
SAME = {
    "de": "embedder generation import index material ranker redis revision shard shards shop vitrine",
    "fr": "catalogue console description embedder import index occasion photo photos pixels ranker score "
    "service services style trace type vitrine",
}

Message = str | dict[str, str]


@cache
def messages(catalogue: str, language: str) -> dict[str, Message]:
    """The messages of a catalogue in a language."""
    loaded: dict[str, Message] = json.loads(
        (STATIC / "messages" / f"{catalogue}.{language}.json").read_text()
    )
    return loaded


def forms(message: Message) -> list[str]:
    """All texts of a message, whatever its count."""
    return [message] if isinstance(message, str) else list(message.values())


def texts(language: str) -> Iterator[tuple[str, str]]:
    """Every key of a language with each of its texts."""
    for catalogue in CATALOGUES:
        for key, message in messages(catalogue, language).items():
            yield from ((key, text) for text in forms(message))


def words(text: str) -> set[str]:
    """The words of a text, without placeholders and units."""
    return set(re.findall(r"[^\W\d_]{3,}", re.sub(r"\{\w*\}", "", text).lower()))


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{(\w*)\}", text))


def modules(first: str) -> dict[str, str]:
    """The source of a page's modules, by path: the first one and all that are imported from there."""
    found: dict[str, str] = {}
    waiting = [first]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = (STATIC / "js" / name).read_text()
            waiting += re.findall(r'from "/js/([\w/]+\.js)"', found[name])
    return found


def asked_in_markup(page: str) -> set[str]:
    """The keys that a page's markup names."""
    return set(re.findall(r'data-(?:text|label|placeholder|title)="([^"]+)"', (STATIC / page).read_text()))


@pytest.mark.parametrize("language", LANGUAGES[1:])
@pytest.mark.parametrize("catalogue", CATALOGUES)
def test_all_languages_say_the_same_things(catalogue: str, language: str) -> None:
    """Every message is there in every language, with the same placeholders."""
    english, other = messages(catalogue, "en"), messages(catalogue, language)
    assert list(other) == list(english)
    for key, message in english.items():
        named = [set().union(*map(placeholders, forms(one))) for one in (message, other[key])]
        assert named[0] == named[1], key


@pytest.mark.parametrize("language", LANGUAGES)
def test_plural_messages_have_the_forms_that_the_language_needs(language: str) -> None:
    """One and other, as all three languages tell apart; more than one is said with its number.

    French alone has a third form, for millions, which here reads as the others. Source: Unicode CLDR.
    """
    for catalogue in CATALOGUES:
        for key, message in messages(catalogue, language).items():
            if isinstance(message, dict):
                assert set(message) == {"one", "other"}, key
                assert "count" in placeholders(message["other"]), key
                assert placeholders(message["other"]) - placeholders(message["one"]) <= {"count"}, key


@pytest.mark.parametrize("language", LANGUAGES)
def test_messages_are_well_written(language: str) -> None:
    """None is empty or begins or ends with a space; apostrophes and quotes are those of print."""
    for key, text in texts(language):
        assert text == text.strip() != "", key
        assert "  " not in text, key
        assert not set("'\"") & set(text), key


def test_french_has_narrow_spaces() -> None:
    """Before colons, semicolons, question and exclamation marks, which otherwise could begin a line."""
    assert [
        (key, text) for key, text in texts("fr") if HIGH_SIGNS.search(re.sub(r"https?://\S*", "", text))
    ] == []


@pytest.mark.parametrize("language", LANGUAGES[1:])
def test_messages_are_translated(language: str) -> None:
    """A text that is the English one is a mistake, but for words that are the same."""
    english, own = set(texts("en")), set(SAME[language].split())
    same = [(key, text) for key, text in texts(language) if (key, text) in english and words(text) - own]
    assert same == []


def test_a_page_has_each_key_once() -> None:
    """A page loads several catalogues, of which none may speak over another."""
    for _, catalogues in PAGES.values():
        keys = [key for catalogue in catalogues for key in messages(catalogue, "en")]
        assert len(keys) == len(set(keys))


@pytest.mark.parametrize("page", PAGES)
def test_every_message_that_is_asked_for_is_there(page: str) -> None:
    """What markup and modules of a page name is in the catalogues that it loads."""
    first, catalogues = PAGES[page]
    there = {key for catalogue in catalogues for key in messages(catalogue, "en")}
    asked = {key for source in modules(first).values() for key in re.findall(r'\bt\(\s*"([^"]+)"', source)}
    assert asked
    assert (asked | asked_in_markup(page)) - there == set()


@pytest.mark.parametrize("catalogue", CATALOGUES)
def test_every_message_is_asked_for(catalogue: str) -> None:
    """None is left over: a module or the markup of a page that loads x, or a template that it fits."""
    pages = [(page, first) for page, (first, loaded) in PAGES.items() if catalogue in loaded]
    sources = "\n".join(source for _, first in pages for source in modules(first).values())
    named = set(re.findall(r'"([\w.]+)"', sources)).union(*(asked_in_markup(page) for page, _ in pages))
    patterns = [pattern_of(one) for one in re.findall(r"`(\w[\w.]*\.?\$\{[^`]*)`", sources)]
    left = {
        key
        for key in messages(catalogue, "en")
        if key not in named
        and not key.startswith(PUT_TOGETHER)
        and not any(one.fullmatch(key) for one in patterns)
    }
    assert left == set()


def pattern_of(template: str) -> re.Pattern[str]:
    """What a template such as `badge.${band}.label` can become."""
    fixed = re.split(r"\$\{[^}]*\}", template)
    return re.compile(r"[\w.]+".join(map(re.escape, fixed)))


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_term_of_a_score_has_words(language: str) -> None:
    """No term of the profiles that are made is shown by its technical name, and no two read the same."""
    names = {
        name for weights in profiles(["resnet50", "triplet", "colour", "clip"]).values() for name in weights
    }
    said = messages("shop", language)
    for part in ("title", "basis"):
        assert len({str(said[f"term.{name}.{part}"]) for name in names}) == len(names)


def test_only_known_files_are_there() -> None:
    """Each catalogue in each language, and nothing else."""
    there = {path.name for path in Path(STATIC / "messages").iterdir()}
    assert there == {f"{catalogue}.{language}.json" for catalogue in CATALOGUES for language in LANGUAGES}
