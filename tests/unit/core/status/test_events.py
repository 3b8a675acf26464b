"""Events: which ones pyvol keeps, which clients can wait, and how a client learns that it missed some."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime

from fakes import FakeClock, FakeLog, FakePool
from house import House
from pyvol.core.model.event_kind import EventKind
from pyvol.core.status.events import KEPT, LINES, WAITING, EventLog, Events

PATIENCE_S = 20.0


def filled(count: int) -> Events:
    """Events with so many of them."""
    events = Events(FakeClock(), "one")
    for number in range(count):
        events.add(EventKind.CREATED, f"v-{number + 1}", {})
    return events


def test_a_follower_gets_each_event_once() -> None:
    """Known events are left out; new events begin after the last one."""
    events = filled(3)
    news = events.after(1, "one", 0)
    assert [event.volume for event in news.events] == ["v-2", "v-3"]
    assert events.after(news.last, news.life, 0).events == []
    assert events.after(-1, "", 0).events == []


def test_memory_is_bounded_and_missed_events_are_counted() -> None:
    """A client that was away for too long gets the number of events that it missed."""
    events = filled(KEPT + 5)
    news = events.after(2, "one", 0)
    assert (len(news.events), news.missed) == (KEPT, 3)
    assert events.after(KEPT + 4, "one", 0).missed == 0


def test_a_new_life_counts_from_the_beginning() -> None:
    """A follower of the daemon before gets all that the new one remembers."""
    assert [event.number for event in filled(2).after(70, "before", 0).events] == [1, 2]


def test_who_waits_is_woken_by_an_event_and_by_the_end() -> None:
    """Both are answered before the requested time is over."""
    events = filled(1)
    acts: list[Callable[[], None]] = [lambda: events.add(EventKind.REMOVED, "v-1", {}), events.end]
    for act in acts:
        known = events.after(-1, "one", 0).last
        follower = threading.Thread(target=events.after, args=(known, "one", PATIENCE_S))
        follower.start()
        act()
        follower.join(PATIENCE_S / 2)
        assert not follower.is_alive()


def test_only_so_many_wait() -> None:
    """When all places are taken, a client is answered at once, and the answer says that it did not wait."""
    events = filled(1)
    places = [events._places.acquire(blocking=False) for _ in range(WAITING)]
    assert all(places)
    assert events.after(1, "one", PATIENCE_S).waited is False
    events._places.release()
    events.end()
    assert events.after(1, "one", PATIENCE_S).waited is True


def test_facts_are_kept_short() -> None:
    """A request can be a megabyte; what is remembered of it stays small, and can be sent."""
    events = Events(FakeClock(), "one")
    EventLog(FakeLog(), events).event(EventKind.FAILED, "v", error="\udcff\x1b" + "e" * 10_000)
    (event,) = events.after(0, "one", 0).events
    assert event.facts["error"].startswith("\\udcff\\x1bee")
    assert len(event.facts["error"]) < 1000


def test_only_events_are_events() -> None:
    """Other lines go to the log alone, whatever they say."""
    log, events = FakeLog(), Events(FakeClock(), "one")
    event_log = EventLog(log, events)
    event_log.info("listening", socket="/s")
    event_log.warning("request failed", path="/VolumeDriver.Get")
    event_log.debug("volume mounted", volume="v")
    event_log.event(EventKind.MOUNTED, "v", mount_id="i", count=1, note=None)
    assert log.events == ["listening", "request failed", "volume mounted", "volume mounted"]
    assert [(event.event, event.facts) for event in events.after(0, "", 0).events] == [
        ("mounted", {"mount_id": "i", "count": "1"})
    ]


def test_every_kind_has_a_line() -> None:
    """A kind without words for the log would fail when it happens for the first time."""
    assert LINES.keys() == set(EventKind)


def test_the_line_has_the_level_of_its_kind_and_is_quiet_when_asked() -> None:
    """What the caller did wrong is for debugging; what pyvol could not do is for a person to look at."""
    log = FakeLog()
    event_log = EventLog(log, Events(FakeClock(), "one"))
    failure = ValueError("x")
    event_log.event(EventKind.FAILED, "v", exc_info=failure, error="no disk")
    event_log.event(EventKind.FAILED, "v", quiet=True, error="protected")
    event_log.event(EventKind.CREATED, "v", pool="default")
    event_log.event(EventKind.MOUNTED, "v")
    assert log.lines == [
        ("warning", "request failed", {"volume": "v", "error": "no disk", "exc_info": failure}),
        ("debug", "request failed", {"volume": "v", "error": "protected"}),
        ("info", "volume created", {"volume": "v", "pool": "default"}),
        ("debug", "volume mounted", {"volume": "v"}),
    ]


def test_other_words_in_the_log_change_no_event() -> None:
    """No program reads the words: with all lines renamed, every kind arrives as before."""
    renamed = {kind: ("info", f"line {number}") for number, kind in enumerate(EventKind)}
    log, events = FakeLog(), Events(FakeClock(), "one")
    event_log = EventLog(log, events, renamed)
    for kind in EventKind:
        event_log.event(kind, "v")
    assert log.events == [words for _, words in renamed.values()]
    assert [event.event for event in events.after(0, "", 0).events] == [
        *("created", "adopted", "changed", "renamed", "mounted", "unmounted"),
        *("removed", "undeleted", "deleted", "failed", "lock_lost"),
    ]


def test_volumes_and_trash_record_what_they_do(house: House) -> None:
    """Each change of a volume is one event, with its facts; the API records refused requests."""
    house.volumes.create("v", None)
    house.volumes.change("v", {"mode": "0700"})
    house.volumes.mount("v", "i")
    house.volumes.unmount("v", "i")
    house.volumes.remove("v")
    house.trash.undelete("v")
    house.volumes.change("v", {"on_remove": "delete"})
    house.volumes.remove("v")
    house.volumes.create("w", None)
    house.renaming.rename(house.volumes.get("w"), "x")
    house.volumes.remove("x")
    house.empty()
    recorded = [(kind, facts["volume"]) for level, kind, facts in house.log.lines if level == "event"]
    assert recorded == [
        *(("created", "v"), ("changed", "v"), ("mounted", "v"), ("unmounted", "v"), ("removed", "v")),
        *(("undeleted", "v"), ("changed", "v"), ("removed", "v")),
        *(("created", "w"), ("renamed", "x"), ("removed", "x"), ("deleted", "x")),
    ]
    removals = [facts for _, kind, facts in house.log.lines if kind == EventKind.REMOVED]
    assert [facts.get("permanent") for facts in removals] == [None, "true", None]


def test_a_volume_that_cannot_be_unmounted_is_a_failure(house: House) -> None:
    """The engine gets a success (engine fact 37), so the event and the health tell people."""
    pool = FakePool("nas")
    house.pools["nas"] = pool
    house.volumes.create("v", {"pool": "nas"})
    house.volumes.mount("v", "i")
    pool.failing["detach"] = "the device is busy"
    house.volumes.unmount("v", "i")
    (failed,) = [facts for _, kind, facts in house.log.lines if kind == EventKind.FAILED]
    assert (failed["volume"], failed["code"], failed["error"]) == ("v", "storage_failed", "the device is busy")


def test_a_time_ends_in_z() -> None:
    """Times among the facts look like the time of the event itself."""
    events = Events(FakeClock(), "one")
    EventLog(FakeLog(), events).event(EventKind.REMOVED, "v", until=datetime(2026, 1, 31, 12, tzinfo=UTC))
    (event,) = events.after(0, "one", 0).events
    assert event.facts == {"until": "2026-01-31T12:00:00Z"}
