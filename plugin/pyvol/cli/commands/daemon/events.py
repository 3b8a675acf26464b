"""`pyvol events`: print the events of volumes as they happen."""

import time

import click
import msgspec

from pyvol.api.v1.schema.events import Event, EventBatch
from pyvol.cli.options import json_option, socket_option
from pyvol.client.pyvol_api import Client
from pyvol.core.errors import DaemonUnreachable
from pyvol.core.status.events import LONGEST_WAIT_S

FROM_NOW = -1
ASK_AGAIN_S = 1.0
"""After this time, a client that the daemon did not let wait asks again."""
RESTART_S = 60.0
"""How long a daemon may be down before the command gives up."""


@click.command("events", short_help="Print events as they happen.")
@click.option("--past", is_flag=True, help="Begin with past events: up to 1,000 since the daemon started.")
@click.option("--no-follow", is_flag=True, help="Print past events, and exit.")
@socket_option
@json_option
def events_(client: Client, *, past: bool, no_follow: bool, as_json: bool) -> None:
    """Print the events of volumes until Ctrl-C: a line for each event, with --json an object.

    Events are created, adopted, changed, renamed, mounted, unmounted, removed, undeleted, deleted
    (permanently, from the trash), failed and lock_lost (in an NFS pool). The command continues after a
    restart of pyvol.

    \b
    Examples:
      pyvol events
      pyvol events --past --no-follow
      pyvol events --json | jq --unbuffered 'select(.event == "failed")'
    """
    try:
        news = client.events(0 if past or no_follow else FROM_NOW)
        _show(news, as_json=as_json)
        while not no_follow:
            news = _next(client, news)
            _show(news, as_json=as_json)
    except KeyboardInterrupt:
        return


def _next(client: Client, known: EventBatch) -> EventBatch:
    gives_up = time.monotonic() + RESTART_S
    while True:
        try:
            news = client.events(known.last, known.life, LONGEST_WAIT_S)
        except DaemonUnreachable:
            if time.monotonic() > gives_up:
                raise
            time.sleep(ASK_AGAIN_S)
            continue
        if not news.waited:
            time.sleep(ASK_AGAIN_S)
        return news


def _show(news: EventBatch, *, as_json: bool) -> None:
    if news.missed:
        click.echo(f"{news.missed} older events are only in the log", err=True)
    for event in news.events:
        click.echo(msgspec.json.encode(event) if as_json else _line(event))


def _line(event: Event) -> str:
    facts = " ".join(f"{key}={_quoted(text)}" for key, text in event.facts.items())
    return f"{event.at:%Y-%m-%dT%H:%M:%SZ}  {event.event:<9}  {event.volume}  {facts}".rstrip()


def _quoted(text: str) -> str:
    return text if text.isprintable() and not set(text) & set(" \"'") else msgspec.json.encode(text).decode()
