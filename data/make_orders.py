#!/usr/bin/env python3
"""Makes orders.jsonl: orders of a fleet of purchasing and logistics agents, the same bytes every time.

    python3 data/make_orders.py [LINES] > data/orders.jsonl

The objects have neither "value" nor "value_b64", which would make a line a proposal object (see `agent-mesh propose --help`).
"""

import json
import random
import sys
from datetime import datetime, timedelta, timezone

ORGANISATIONS = ["north-mill", "harbor-freight", "delta-foods", "kestrel-energy", "orion-parts", "lumen-health"]
SITES = ["HAM-1", "RTM-2", "GDN-1", "LYS-3", "VIE-2", "MIL-1", "OSL-1", "PRG-2"]
GOODS = {
    "steel-coil-2mm": ("t", 640_00, 780_00),
    "wheat-soft": ("t", 195_00, 260_00),
    "pallet-eur": ("pc", 9_50, 14_00),
    "li-cell-21700": ("pc", 2_10, 3_90),
    "saline-500ml": ("pc", 1_05, 1_80),
    "bearing-6204": ("pc", 2_40, 5_10),
    "power-day-ahead": ("MWh", 38_00, 112_00),
    "diesel-b7": ("l", 1_32, 1_71),
}
KINDS = ["buy", "buy", "buy", "sell", "sell", "amend", "cancel", "reserve", "ship", "settle"]
REASONS = ["price", "delay", "stock", "forecast", "duplicate"]


def order(rng: random.Random, number: int, at: datetime) -> dict:
    buyer, seller = rng.sample(ORGANISATIONS, 2)
    good = rng.choice(sorted(GOODS))
    unit, low, high = GOODS[good]
    kind = rng.choice(KINDS)
    entry = {
        "order": f"ORD-{number:07d}",
        "kind": kind,
        "at": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "agent": f"{buyer}/agent-{rng.randrange(1, 25):02d}",
        "buyer": buyer,
        "seller": seller,
        "good": good,
        "quantity": rng.choice([1, 2, 5, 10, 24, 48, 100, 250, 1000]),
        "unit": unit,
        "price_cents": rng.randrange(low, high),
        "currency": "EUR",
        "site": rng.choice(SITES),
    }
    if kind in ("amend", "cancel"):
        entry["refers_to"] = f"ORD-{rng.randrange(1, max(2, number)):07d}"
        entry["reason"] = rng.choice(REASONS)
    if kind == "ship":
        entry["route"] = rng.sample(SITES, rng.randrange(2, 5))
        entry["weight_kg"] = rng.randrange(20, 24_000)
    if kind == "settle":
        entry["invoice"] = f"INV-{rng.randrange(10**8):08d}"
    if rng.random() < 0.1:
        entry["note"] = rng.choice(["Kühlkette prüfen", "leave at gate 7", "split delivery ok", "priorité client", "CE mark required"])
    return entry


def main() -> None:
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 1_200
    rng = random.Random(20_260_101)
    at = datetime(2026, 1, 5, 6, 0, tzinfo=timezone.utc)
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    for number in range(1, lines + 1):
        at += timedelta(milliseconds=rng.randrange(40, 9_000))
        print(json.dumps(order(rng, number, at), ensure_ascii=False, separators=(", ", ": ")))


if __name__ == "__main__":
    main()
