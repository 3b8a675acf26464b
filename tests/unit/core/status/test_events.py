"""Events: what is remembered, who waits, and what a follower is told that it missed."""

import threading
from collections.abc import Callable

from fakes import FakeClock, FakeLog
from house import House
from pyvol.core.errors import VolumeProtected
from pyvol.core.status.events import KEPT, KINDS, WAITING, EventLog, Events

PATIENCE_S = 20.0


def filled(count: int) -> Events:
    """Events with so many of them."""
    events = Events(FakeClock(), "one")
    for number in range(count):
        events.add("created", f"v-{number + 1}", {})
    return events


def test_a_follower_gets_each_event_once() -> None:
    """What it knows is left out; what is to come begins after the last."""
    events = filled(3)
    news = events.after(1, "one", 0)
    assert [event.volume for event in news.events] == ["v-2", "v-3"]
    assert events.after(news.last, news.life, 0).events == []
    assert events.after(-1, "", 0).events == []


def test_memory_is_bounded_and_what_was_missed_is_counted() -> None:
    """Who was away for too long is told how many events it did not get."""
    events = filled(KEPT + 5)
    news = events.after(2, "one", 0)
    assert (len(news.events), news.missed) == (KEPT, 3)
    assert events.after(KEPT + 4, "one", 0).missed == 0


def test_a_new_life_counts_from_the_beginning() -> None:
    """A follower of the daemon before gets all that the new one remembers."""
    assert [event.number for event in filled(2).after(70, "before", 0).events] == [1, 2]


def test_who_waits_is_woken_by_an_event_and_by_the_end() -> None:
    """Neither takes the time that was asked for."""
    events = filled(1)
    acts: list[Callable[[], None]] = [lambda: events.add("removed", "v-1", {}), events.end]
    for act in acts:
        known = events.after(-1, "one", 0).last
        follower = threading.Thread(target=events.after, args=(known, "one", PATIENCE_S))
        follower.start()
        act()
        follower.join(PATIENCE_S / 2)
        assert not follower.is_alive()


def test_only_so_many_wait() -> None:
    """One more is answered at once, and told that it did not wait; a place that is given back can be had."""
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
    EventLog(FakeLog(), events).warning("request failed", volume="v", error="\udcff\x1b" + "e" * 10_000)
    (event,) = events.after(0, "one", 0).events
    assert event.facts["error"].startswith("\\udcff\\x1bee")
    assert len(event.facts["error"]) < 1000


def test_lines_about_no_volume_are_no_events() -> None:
    """They go to the journal alone; the journal gets all."""
    log, events = FakeLog(), Events(FakeClock(), "one")
    telling = EventLog(log, events)
    telling.info("listening", socket="/s")
    telling.warning("request failed", path="/VolumeDriver.Get")
    telling.debug("volume mounted", volume="v", mount_id="i", count=1)
    assert log.events == ["listening", "request failed", "volume mounted"]
    assert [(event.event, event.facts) for event in events.after(0, "", 0).events] == [
        ("mounted", {"mount_id": "i", "count": "1"})
    ]


def test_the_house_says_what_the_table_has(house: House) -> None:
    """The words of the journal that become events are those that volumes and trash write."""
    house.volumes.create("v", None)
    house.volumes.change("v", {"mode": "0700"})
    house.volumes.mount("v", "i")
    house.volumes.unmount("v", "i")
    house.volumes.remove("v")
    house.trash.undelete("v")
    house.volumes.change("v", {"protect": "true"})
    try:
        house.volumes.remove("v")
    except VolumeProtected:
        house.volumes.change("v", {"protect": "false", "on_remove": "delete"})
    house.volumes.remove("v")
    house.volumes.create("w", None)
    house.volumes.remove("w")
    house.empty()
    said = [KINDS[event] for event in house.log.events if event in KINDS]
    assert said == [
        *("created", "changed", "mounted", "unmounted", "removed", "undeleted"),
        *("changed", "changed", "removed", "created", "removed", "deleted"),
    ]
