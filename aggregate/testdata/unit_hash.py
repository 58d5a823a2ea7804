"""Canonical form of a closed unit's hash, after the description of UnitHash in hash.go.

Prints the hashes that TestUnitHashGolden demands: after no, one and two clicks.
"""

import datetime
import hashlib
import struct

SECOND = 1_000_000


def number(n):
    return struct.pack(">Q", n % 2**64)


def text(s):
    b = s.encode()
    return number(len(b)) + b


def uuid7(micros, n):
    return number(micros // 1000 << 16 | 7 << 12) + number(1 << 63 | n)


def click(n, at, state, reasons, click_id=bytes(16), texts=("", "", "camp", "", "", "", "")):
    rate_card, *hierarchy = texts
    return b"".join([
        uuid7(at, n), number(at // 1000 * 1000), number(at), click_id, number(state), number(reasons),
        number(250_000), text("EUR"), number(1), text(rate_card), *map(text, hierarchy),
    ])


noon = int(datetime.datetime(2026, 11, 10, 12, tzinfo=datetime.timezone.utc).timestamp()) * SECOND
VALID, DUPLICATE, DOUBLE_CLICK = 9, 8, 13

h = hashlib.sha256(text("clickgate unit 1") + text("acme") + text("shop") + number(noon))
print(h.hexdigest())
h.update(click(7, noon, VALID, 0, b"\xee" + bytes(14) + b"\x01", ("v1", "adv", "camp", "group", "creative", "news", "tøp")))
print(h.hexdigest())
h.update(click(8, noon + SECOND, DUPLICATE, 1 << DOUBLE_CLICK | 1 << 63))
print(h.hexdigest())
