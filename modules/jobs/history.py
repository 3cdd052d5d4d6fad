"""The history: each finished picture with its recipe, searchable, on disk."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.errors import EaselError, NotFound
from modules.jobs.database import open_database
from modules.jobs.job import Job
from modules.jobs.serial import (
    NotStorable,
    Snapshot,
    dump_plain,
    dump_request,
    dump_settings,
    load_plain,
    load_request,
)

VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS recipe (
    id INTEGER PRIMARY KEY, job TEXT NOT NULL, kind TEXT NOT NULL, request TEXT, overrides TEXT NOT NULL,
    settings TEXT, model TEXT NOT NULL, model_hash TEXT
);
CREATE TABLE IF NOT EXISTS settings (digest TEXT PRIMARY KEY, snapshot TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS picture (
    id INTEGER PRIMARY KEY AUTOINCREMENT, recipe INTEGER NOT NULL, created REAL NOT NULL,
    model TEXT NOT NULL, seed INTEGER, subseed INTEGER, width INTEGER NOT NULL, height INTEGER NOT NULL,
    path TEXT, favourite INTEGER NOT NULL DEFAULT 0, infotext TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS picture_created ON picture (created);
CREATE INDEX IF NOT EXISTS picture_model ON picture (model, id);
CREATE INDEX IF NOT EXISTS picture_recipe ON picture (recipe);
CREATE INDEX IF NOT EXISTS picture_favourite ON picture (id) WHERE favourite;
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (infotext, content='picture', content_rowid='id');
CREATE TRIGGER IF NOT EXISTS picture_added AFTER INSERT ON picture BEGIN
    INSERT INTO words (rowid, infotext) VALUES (new.id, new.infotext);
END;
CREATE TRIGGER IF NOT EXISTS picture_gone AFTER DELETE ON picture BEGIN
    INSERT INTO words (words, rowid, infotext) VALUES ('delete', old.id, old.infotext);
    DELETE FROM recipe WHERE id = old.recipe
        AND NOT EXISTS (SELECT 1 FROM picture WHERE picture.recipe = old.recipe);
END;
"""

MAX_ENTRIES = 100_000
"""Of more pictures the oldest are forgotten, favourites excepted. Files are never touched by this."""

PAGE_SIZE, LARGEST_PAGE = 50, 500

LARGEST_RECIPE = 4 * 1024 * 1024
"""Characters of a request, its pictures included, that is kept; of a larger one only the infotext is."""


@dataclass(frozen=True)
class Entry:
    """One finished picture. ``path`` is its file, ``None`` when it was not saved."""

    id: int
    job: str
    kind: str
    created: float
    model: str
    model_hash: str | None
    seed: int | None
    width: int
    height: int
    path: str | None
    favourite: bool
    infotext: str


@dataclass(frozen=True)
class Search:
    """What is looked for. ``text``: beginnings of words of the infotext; ``before_id`` turns the page."""

    text: str = ""
    model: str = ""
    after: float | None = None
    before: float | None = None
    favourite: bool | None = None
    before_id: int | None = None
    limit: int = PAGE_SIZE


@dataclass(frozen=True)
class Recipe:
    """How to paint a picture again: its request with its own seeds, and all settings of that time."""

    kind: str
    request: Any
    overrides: Mapping[str, Any]
    settings: Mapping[str, Any]
    model: str


class NoRecipe(EaselError):
    """The picture is known, but its request was not kept."""

    status = 409


_COLUMNS = (
    "picture.id, job, kind, created, picture.model, model_hash, seed, width, height, path, favourite, "
    "picture.infotext"
)


class History:
    """Reads and writes the history. Safe for any number of threads."""

    def __init__(self, path: Path, max_entries: int = MAX_ENTRIES) -> None:
        self._lock = threading.Lock()
        self._max_entries = max_entries
        self._database = open_database(path, SCHEMA, VERSION)
        self._closed = False

    def add(self, job: Job, result: Any) -> None:
        """Enter the pictures of a finished job, without its grid. Raises ``sqlite3.Error``."""
        info = getattr(result, "info", {})
        images = list(result.images)[result.index_of_first_image :]
        texts = list(result.infotexts)[result.index_of_first_image :]
        if not images or self._closed:
            return
        request, overrides, snapshot = _written(job)
        model = str(info.get("sd_model_name") or "")
        digest = snapshot.digest if snapshot else None
        head = (job.id, job.kind, request, overrides, digest, model, info.get("sd_model_hash"))
        seeds = _from_first(info.get("all_seeds"), info.get("seed"))
        subseeds = _from_first(info.get("all_subseeds"), info.get("subseed"))
        rows = [
            (
                time.time(),
                model,
                _at(seeds, number),
                _at(subseeds, number),
                image.width,
                image.height,
                image.info.get("saved_as"),
                _at(texts, number) or "",
            )
            for number, image in enumerate(images)
        ]
        with self._transaction() as database:
            if snapshot:
                database.execute(
                    "INSERT OR IGNORE INTO settings VALUES (?, ?)", (snapshot.digest, snapshot.text)
                )
            recipe = database.execute(_NEW_RECIPE, head).lastrowid
            database.executemany(_NEW_PICTURE, [(recipe, *row) for row in rows])
            self._forget_oldest(database)

    def _forget_oldest(self, database: sqlite3.Connection) -> None:
        newest = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'picture'").fetchone()
        # Ids rise by one, so this needs no count of a hundred thousand rows.
        database.execute(
            "DELETE FROM picture WHERE id <= ? AND NOT favourite", (newest[0] - self._max_entries,)
        )

    def find(self, search: Search) -> list[Entry]:
        """Pictures, newest first."""
        where, values = _conditions(search)
        source, key = "picture JOIN recipe ON recipe.id = picture.recipe", "picture.id"
        if "words MATCH ?" in where:
            # CROSS fixes the order of the loops: matches come newest first and stop when the page is full.
            source = (
                "words CROSS JOIN picture ON picture.id = words.rowid "
                "CROSS JOIN recipe ON recipe.id = picture.recipe"
            )
            key = "words.rowid"
        query = f"SELECT {_COLUMNS} FROM {source}"
        if where:
            query += " WHERE " + " AND ".join(where)
        query += f" ORDER BY {key} DESC LIMIT ?"
        limit = max(1, min(search.limit, LARGEST_PAGE))
        with self._lock:
            rows = self._database.execute(query, (*values, limit)).fetchall()
        return [_entry(row) for row in rows]

    def get(self, number: int) -> Entry:
        """One picture. Raises ``NotFound``."""
        query = (
            f"SELECT {_COLUMNS} FROM picture JOIN recipe ON recipe.id = picture.recipe WHERE picture.id = ?"
        )
        with self._lock:
            row = self._database.execute(query, (number,)).fetchone()
        if row is None:
            raise NotFound(f"There is no picture number {number} in the history.")
        return _entry(row)

    def models(self) -> list[str]:
        """Names of the models that pictures were painted with."""
        # A loose scan of the index: one step per model, not per picture (sqlite.org/optoverview.html).
        query = (
            "WITH RECURSIVE seen(model) AS (SELECT min(model) FROM picture UNION ALL "
            "SELECT (SELECT min(model) FROM picture WHERE model > seen.model) FROM seen "
            "WHERE seen.model IS NOT NULL) SELECT model FROM seen WHERE model IS NOT NULL"
        )
        with self._lock:
            return [row[0] for row in self._database.execute(query)]

    def set_favourite(self, number: int, favourite: bool) -> Entry:
        """Mark a picture, or no longer. Raises ``NotFound``."""
        with self._transaction() as database:
            database.execute("UPDATE picture SET favourite = ? WHERE id = ?", (favourite, number))
        return self.get(number)

    def delete(self, number: int) -> Entry:
        """Forget a picture; its file stays. Returns what was known. Raises ``NotFound``."""
        entry = self.get(number)
        with self._transaction() as database:
            database.execute("DELETE FROM picture WHERE id = ?", (number,))
        return entry

    def recipe(self, number: int) -> Recipe:
        """How to paint this one picture again. Raises ``NotFound`` or ``NoRecipe``."""
        query = (
            "SELECT kind, request, overrides, snapshot, recipe.model, seed, subseed FROM picture "
            "JOIN recipe ON recipe.id = picture.recipe LEFT JOIN settings ON digest = recipe.settings "
            "WHERE picture.id = ?"
        )
        with self._lock:
            row = self._database.execute(query, (number,)).fetchone()
        if row is None:
            raise NotFound(f"There is no picture number {number} in the history.")
        kind, text, overrides, snapshot, model, seed, subseed = row
        if text is None or snapshot is None:
            raise NoRecipe(f"The request of picture number {number} was not kept; use its infotext instead.")
        own = {"batch_size": 1, "n_iter": 1, "seed": seed, "subseed": subseed}
        own = {name: value for name, value in own.items() if value is not None}
        request = dataclasses.replace(load_request(text), **own)
        return Recipe(kind, request, load_plain(overrides), json.loads(snapshot), model)

    def close(self) -> None:
        """Let go of the file; pictures of jobs that end later are not entered."""
        with self._lock:
            self._closed = True
            self._database.close()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")


_NEW_RECIPE = (
    "INSERT INTO recipe (job, kind, request, overrides, settings, model, model_hash) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_NEW_PICTURE = (
    "INSERT INTO picture (recipe, created, model, seed, subseed, width, height, path, infotext) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def _written(job: Job) -> tuple[str | None, str, Snapshot | None]:
    """Request, overrides and settings of a job as they are stored; no request when it has no text."""
    try:
        request, overrides = dump_request(job.request), dump_plain(job.overrides)
        settings = dump_settings(job.settings)
    except NotStorable:
        return None, "{}", None
    return (request, overrides, settings) if len(request) <= LARGEST_RECIPE else (None, overrides, None)


def _conditions(search: Search) -> tuple[list[str], list[Any]]:
    rows: list[tuple[str, Any]] = []
    words = re.findall(r"\w+", search.text)
    if words:
        phrase = " ".join(f'"{word}"*' for word in words[:50])
        rows.append(("words MATCH ?", phrase))
    if search.model:
        rows.append(("picture.model = ?", search.model))
    if search.after is not None:
        rows.append(("created >= ?", search.after))
    if search.before is not None:
        rows.append(("created < ?", search.before))
    if search.before_id is not None:
        rows.append((f"{'words.rowid' if words else 'picture.id'} < ?", search.before_id))
    where, values = [text for text, _ in rows], [value for _, value in rows]
    if search.favourite is not None:
        # Spelt as the partial index spells it, or it would not be used.
        where.append("favourite" if search.favourite else "NOT favourite")
    return where, values


def _entry(row: Sequence[Any]) -> Entry:
    fields = dict(zip((field.name for field in dataclasses.fields(Entry)), row, strict=True))
    return Entry(**{**fields, "favourite": bool(fields["favourite"])})


def _from_first(values: Any, single: Any) -> list[Any]:
    return list(values) if isinstance(values, (list, tuple)) and values else [single]


def _at(values: Sequence[Any], index: int) -> Any:
    return values[index] if index < len(values) else None
