"""How long a full queue and history take. Run: ``python -m benchmarks.queue_and_history``.

Targets: an order is taken in 50 ms with 1,000 jobs waiting; a page of a history of 100,000 pictures is
listed in 100 ms; events reach 64 readers.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from modules.jobs import events
from modules.jobs.events import Events
from modules.jobs.history import History, Search
from modules.jobs.job import Job
from modules.jobs.journal import open_journal
from modules.jobs.queue import JobQueue
from modules.options.settings import default_options
from modules.processing.request import Txt2ImgRequest
from modules.processing.result import Processed

WAITING, PICTURES, READERS, BATCH = 1_000, 100_000, 64, 500
WORDS = (
    "castle",
    "forest",
    "river",
    "kite",
    "dragon",
    "sunset",
    "oil",
    "neon",
    "rain",
    "cat",
    "tower",
    "boat",
)
OPTIONS = default_options(Namespace())


def milliseconds(work: Callable[[], object], rounds: int = 20) -> str:
    """Median and largest time of ``work``."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return f"median {statistics.median(times):7.2f} ms   worst {max(times):7.2f} ms"


def order(queue: JobQueue, number: int) -> None:
    """Put one job in the line, as the interface does."""
    request = Txt2ImgRequest(prompt=f"job {number} " + "words " * 40)
    queue.submit(Job(f"task({number})", "txt2img", request, OPTIONS.view(), client=f"client {number % 5}"))


def measure_queue(folder: Path) -> None:
    """Orders and moves in a long line, and the time until it is there again after a restart."""
    journal = open_journal(folder, OPTIONS, Namespace())
    queue = JobQueue(journal.store)
    for number in range(WAITING):
        order(queue, number)
    numbers = iter(range(WAITING, 10 * WAITING))
    print(f"order with {WAITING} waiting       {milliseconds(lambda: order(queue, next(numbers)))}")
    print(f"move to the front             {milliseconds(lambda: queue.move(queue.pending[-1], 0))}")
    print(f"take and finish               {milliseconds(lambda: finish_one(queue))}")
    queue.close()
    queue.close_store()
    journal.close()
    began = time.perf_counter()
    again = open_journal(folder, OPTIONS, Namespace())
    waiting = len(JobQueue(again.store).pending)
    print(f"restore {waiting} jobs             {(time.perf_counter() - began) * 1000:14.2f} ms")
    again.store.close()
    again.close()


def finish_one(queue: JobQueue) -> None:
    """What a worker does besides painting."""
    job = queue.take(0)
    assert job is not None
    queue.finish(job.id, None)


def measure_history(folder: Path) -> None:
    """Pages of a long history, by everything that can be searched for."""
    history = History(folder / "history.sqlite", PICTURES)
    picture, chosen = Image.new("RGB", (8, 8)), random.Random(0)
    settings = OPTIONS.view()
    for number in range(0, PICTURES, BATCH):
        texts = [f"{' '.join(chosen.choices(WORDS, k=12))}\nSeed: {number + i}" for i in range(BATCH)]
        info = {"sd_model_name": f"model {number // BATCH % 7}", "all_seeds": list(range(BATCH))}
        job = Job(f"task({number})", "txt2img", Txt2ImgRequest(prompt=texts[0]), settings)
        history.add(job, Processed([picture] * BATCH, texts, info))
    searches = {
        "newest page": Search(),
        "500 at once": Search(limit=500),
        "page in the middle": Search(before_id=PICTURES // 2),
        "rare word": Search(text=f"Seed {PICTURES - 7}"),
        "two common words": Search(text="castle dragon"),
        "words and model": Search(text="castle", model="model 3"),
        "word that is not there": Search(text="submarine"),
        "model": Search(model="model 3"),
        "favourites": Search(favourite=True),
        "before a date": Search(before=time.time() - 1),
    }
    print(f"\nHistory of {PICTURES} pictures")
    for name, search in searches.items():
        print(f"{name:30}{milliseconds(lambda search=search: history.find(search))}")  # type: ignore[misc]
    job = Job("task(x)", "txt2img", Txt2ImgRequest(), settings)
    one = Processed([picture], ["one more"], {"seed": 1})
    print(f"{'enter a picture':30}{milliseconds(lambda: history.add(job, one))}")
    history.close()


def measure_events() -> None:
    """Events a second that one worker can tell to many readers."""
    hub = Events()
    readers = [hub.subscribe(lambda: None) for _ in range(READERS)]
    began, count = time.perf_counter(), 20_000
    for number in range(count):
        hub.publish("a", events.CHANGED, number=number)
        if number % 100 == 0:
            for reader in readers:
                reader.drain()
    seconds = time.perf_counter() - began
    print(f"\n{count / seconds:,.0f} events a second, each to {READERS} readers")


def main() -> None:
    """Measure everything, in a folder that is removed again."""
    with tempfile.TemporaryDirectory() as name:
        measure_queue(Path(name))
        measure_history(Path(name))
    measure_events()


if __name__ == "__main__":
    main()
