#!/usr/bin/env python3
"""Mint a clickgate click token; docs/token.md describes every byte.

Needs AES-GCM from the package cryptography:

    python3 -m venv venv && venv/bin/pip install cryptography
    venv/bin/python docs/examples/mint_token.py --key-file token.key --key-id 1 \\
        --tenant demo --campaign acme-spring --landing https://shop.example/ \\
        --price-micros 250000 --currency EUR

The key file holds 32 bytes in base64, as `openssl rand -base64 32` writes them.
"""

import argparse
import base64
import hashlib
import os
import struct
import time

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION = 1
PRICING = {"none": 0, "cpc": 1, "cpm": 2, "cpa": 3, "flat": 4}


def varint(n):
    """Return a number of 0 to 2^64-1 as protobuf writes it."""
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def number(field, n):
    """Return a varint field; 0 is the default and is left out."""
    return varint(field << 3) + varint(n) if n else b""


def text(field, value):
    """Return a length-delimited field; an empty one is left out."""
    data = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(data)) + data if data else b""


def plaintext(tenant, click_id, issued_at, expires_at, *, advertiser="", campaign="",
              ad_group="", creative="", publisher="", placement="", landing_url="",
              landing_sha256=b"", price_micros=0, currency="", pricing="none", test=False):
    """Return the message Token. click_id has 16 bytes, times are Unix microseconds."""
    return b"".join([
        text(1, tenant), text(2, click_id), number(3, issued_at), number(4, expires_at),
        text(5, advertiser), text(6, campaign), text(7, ad_group), text(8, creative),
        text(9, publisher), text(10, placement), text(11, landing_url),
        text(12, landing_sha256), number(13, price_micros), text(14, currency),
        number(15, PRICING[pricing]), number(16, int(test)),
    ])


def seal(key, key_id, plain, nonce):
    """Return the token. Never use a nonce twice under one key: draw it."""
    head = struct.pack(">BI", VERSION, key_id) + nonce
    sealed = AESGCM(key).encrypt(nonce, plain, head)  # ciphertext and tag
    return base64.urlsafe_b64encode(head + sealed).rstrip(b"=").decode()


def uuid7(now_micros):
    """Return the 16 bytes of a UUIDv7 (RFC 9562)."""
    b = bytearray((now_micros // 1000).to_bytes(6, "big") + os.urandom(10))
    b[6] = 0x70 | b[6] & 0x0F
    b[8] = 0x80 | b[8] & 0x3F
    return bytes(b)


def main():
    p = argparse.ArgumentParser(description="Mint a clickgate click token.")
    p.add_argument("--key-file", required=True, help="32 bytes in base64")
    p.add_argument("--key-id", type=int, required=True, help="id of the key in the control file")
    p.add_argument("--tenant", required=True)
    p.add_argument("--campaign", default="")
    p.add_argument("--publisher", default="")
    p.add_argument("--placement", default="")
    p.add_argument("--landing", required=True, help="absolute http or https URL")
    p.add_argument("--landing-by-hash", action="store_true", help="seal the hash; the URL then goes into u=")
    p.add_argument("--price-micros", type=int, default=0)
    p.add_argument("--currency", default="")
    p.add_argument("--ttl", type=int, default=24 * 3600, help="seconds, at most 86400")
    p.add_argument("--test", action="store_true")
    a = p.parse_args()

    with open(a.key_file, encoding="ascii") as f:
        key = base64.b64decode(f.read())
    now = time.time_ns() // 1000
    landing = {"landing_url": a.landing}
    if a.landing_by_hash:
        landing = {"landing_sha256": hashlib.sha256(a.landing.encode()).digest()}
    plain = plaintext(
        a.tenant, uuid7(now), now, now + a.ttl * 1_000_000, campaign=a.campaign,
        publisher=a.publisher, placement=a.placement, price_micros=a.price_micros,
        currency=a.currency, pricing="cpc" if a.currency else "none", test=a.test, **landing)
    print(seal(key, a.key_id, plain, os.urandom(12)))


if __name__ == "__main__":
    main()
