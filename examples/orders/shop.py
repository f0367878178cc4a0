"""The shop's own database: what the handlers of this example change.

It stands for your services. It is SQLite, so nothing needs to be installed, in the file that ORDERS_DATABASE names.
Every function may be called twice with the same effect as once, because a job may run twice.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

TABLES = """
create table if not exists stock (sku text primary key, units integer not null);
create table if not exists reservation (order_id text primary key, sku text not null, units integer not null);
create table if not exists payment (order_id text primary key, amount real not null, refunded integer default 0);
create table if not exists status (order_id text primary key, words text not null);
create table if not exists reading (id integer primary key, value real not null);
create table if not exists delivery (channel text, reference text, primary key (channel, reference));
"""


class PaymentDeclinedError(Exception):
    """The bank says no, and will say no again."""


@contextmanager
def database() -> Iterator[sqlite3.Connection]:
    """A connection whose block is one transaction."""
    connection = sqlite3.connect(os.environ.get("ORDERS_DATABASE", "orders.sqlite3"), timeout=30)
    try:
        connection.executescript(TABLES)
        connection.execute("begin immediate")
        yield connection
        connection.commit()
    finally:
        connection.close()


def put_in_stock(sku: str, units: int) -> None:
    """Sets how many units of an article there are."""
    with database() as db:
        db.execute("insert or replace into stock values (?, ?)", (sku, units))


def reserve(order_id: str, sku: str, units: int) -> bool:
    """Takes units out of the stock for an order; False when there are too few."""
    with database() as db:
        if db.execute("select 1 from reservation where order_id = ?", (order_id,)).fetchone():
            return True
        taken = db.execute("update stock set units = units - ? where sku = ? and units >= ?", (units, sku, units))
        if taken.rowcount:
            db.execute("insert into reservation values (?, ?, ?)", (order_id, sku, units))
        return taken.rowcount > 0


def release(order_id: str) -> None:
    """Puts the reserved units of an order back into the stock."""
    with database() as db:
        found = db.execute("delete from reservation where order_id = ? returning sku, units", (order_id,)).fetchall()
        for sku, units in found:
            db.execute("update stock set units = units + ? where sku = ?", (units, sku))


def charge(order_id: str, amount: float, card: str) -> None:
    """Charges a card. Raises PaymentDeclinedError, and ConnectionError while the bank is away."""
    if card == "declined":
        raise PaymentDeclinedError(order_id)
    if card == "unreachable":
        raise ConnectionError("Connection timeout")
    with database() as db:
        db.execute("insert or ignore into payment (order_id, amount) values (?, ?)", (order_id, amount))


def refund_if_charged(order_id: str) -> None:
    """Gives the money of an order back, if any was taken."""
    with database() as db:
        db.execute("update payment set refunded = 1 where order_id = ?", (order_id,))


def set_status(order_id: str, words: str) -> None:
    """Writes what the customer sees about an order."""
    with database() as db:
        db.execute("insert or replace into status values (?, ?)", (order_id, words))


def store_reading(number: int, value: float) -> None:
    """Loads one measured value."""
    with database() as db:
        db.execute("insert or replace into reading values (?, ?)", (number, value))


def deliver(channel: str, reference: str) -> None:
    """Sends something (a mail, an event, a contact) by a channel, once per reference."""
    with database() as db:
        db.execute("insert or ignore into delivery values (?, ?)", (channel, reference))


def rows(query: str, *values: object) -> list[tuple[Any, ...]]:
    """Reads from the shop's database."""
    with database() as db:
        return db.execute(query, values).fetchall()
