#!/usr/bin/env python3
"""Checks the result of a proposal against the genesis of its network. Needs no network and no node.

    python3 docs/verify.py genesis.json result.json

Written from docs/formats.md alone; section numbers below are those of that page. It shares no code with agent-mesh, so that
the two check each other. Every field but phases_ms is recomputed from genesis and proof.

It checks proofs by votes of epoch 0, and says so for any other: the chain of epochs is not checked here.

Exit code 0: the result holds. 1: it does not, or a file cannot be read. 2: wrong usage.

Python 3.9 or later. Signatures need one package: networks of level 512, 768 or 1024 `pip install dilithium-py` (ML-DSA),
networks of level 2048 also `pip install slh-dsa`, networks of level 0 `pip install cryptography` (Ed25519).
"""

import base64
import binascii
import hashlib
import json
import re
import sys

# --- 1 and 2: bounds, tags, algorithms -------------------------------------------------------------------------------------------

MAX_NUMBER = 1 << 62
MAX_SIGNATURE = 65_536
MAX_VALUE = 16 * 1024 * 1024
MAX_SIBLINGS = 32
MAX_DESCENDANTS = 65_536
MAX_VOTES = 4_096
MAX_STATEMENTS = 8
MAX_KEY = 16_384
MAX_VALIDATORS = 1_000
MAX_PRIORITY = 9

GENESIS_TAG = b"agent-mesh/genesis/v1"
HEADER_TAG = b"agent-mesh/header/v1"
VOTES_TAG = b"agent-mesh/votes/v1"
PROPOSAL_TAG = b"agent-mesh/proposal/v1"
NODE_TAG = b"agent-mesh/node/v1"
PAYLOAD_TAG = b"agent-mesh/payload/v1"

# name: (id, bytes of a public key, bytes of a signature)
TWO_FAMILIES = "ml-dsa-87+slh-dsa-sha2-128f"
ALGORITHMS = {"ed25519": (1, 32, 64), "ml-dsa-44": (2, 1312, 2420), "ml-dsa-65": (3, 1952, 3309), "ml-dsa-87": (4, 2592, 4627),
              TWO_FAMILIES: (8, 2624, 21_715)}
# dimension: (level id, signature algorithm, hash)
LEVELS = {
    0: (0, "ed25519", hashlib.sha256),
    512: (1, "ml-dsa-44", hashlib.sha256),
    768: (2, "ml-dsa-65", hashlib.sha256),
    1024: (3, "ml-dsa-87", hashlib.sha384),
    2048: (4, TWO_FAMILIES, hashlib.sha384),
}
POLICIES = {"standard": 1, "high": 2, "cnsa": 3}


class Refused(Exception):
    """Why something does not hold."""


class NotChecked(Exception):
    """Why nothing could be checked."""


def need(holds, why):
    if not holds:
        raise Refused(why)


def u8(value):
    return value.to_bytes(1, "big")


def u16(value):
    return value.to_bytes(2, "big")


def u32(value):
    return value.to_bytes(4, "big")


def u64(value):
    return value.to_bytes(8, "big")


def lengthed(data):
    return u32(len(data)) + data


def from_base64(text, what):
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise Refused(f"{what} is not base64") from None
    need(base64.b64encode(data).decode() == text, f"{what} is not canonical base64")
    return data


class Reader:
    """Section 1: reads primitives strictly."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def raw(self, length, what):
        need(self.at + length <= len(self.data), f"the proof ends inside {what}")
        self.at += length
        return self.data[self.at - length : self.at]

    def integer(self, size, what):
        return int.from_bytes(self.raw(size, what), "big")

    def u8(self, what):
        return self.integer(1, what)

    def u16(self, what):
        return self.integer(2, what)

    def u32(self, what):
        return self.integer(4, what)

    def u64(self, what):
        return self.integer(8, what)

    def number(self, what):
        value = self.u64(what)
        need(value <= MAX_NUMBER, f"{what} is out of range")
        return value

    def count(self, bound, what):
        value = self.u32(what)
        need(value <= bound, f"{what}: {value} is above the bound {bound}")
        return value

    def bytes(self, bound, what):
        return self.raw(self.count(bound, what), what)

    def digest(self, what):
        length = self.u8(what)
        need(length in (32, 48), f"{what} is no digest")
        return self.raw(length, what)

    def list(self, bound, what, item):
        return [item(self) for _ in range(self.count(bound, what))]

    def since(self, start):
        return self.data[start : self.at]

    def finish(self):
        need(self.at == len(self.data), "bytes follow the proof")


# --- Signatures ------------------------------------------------------------------------------------------------------------------


def ed25519_verifier():
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        raise NotChecked("this network signs with Ed25519: pip install cryptography") from None

    def verify(key, message, signature):
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
            return True
        except (InvalidSignature, ValueError):
            return False

    return verify


def ml_dsa_verifier(algorithm):
    try:
        from dilithium_py import ml_dsa
    except ImportError:
        raise NotChecked(f"this network signs with {algorithm}: pip install dilithium-py") from None
    scheme = {"ml-dsa-44": ml_dsa.ML_DSA_44, "ml-dsa-65": ml_dsa.ML_DSA_65, "ml-dsa-87": ml_dsa.ML_DSA_87}[algorithm]

    def verify(key, message, signature):
        try:
            return bool(scheme.verify(key, message, signature, ctx=b""))
        except (ValueError, IndexError, AssertionError):
            return False  # encodings that the package refuses by raising

    return verify


def two_families_verifier():
    first = ml_dsa_verifier("ml-dsa-87")
    try:
        import slhdsa
        from slhdsa.lowlevel import parameters
    except ImportError:
        raise NotChecked("this network signs with two families: pip install dilithium-py slh-dsa") from None
    label = b"agent-mesh/" + TWO_FAMILIES.encode()

    def verify(key, message, signature):
        message = bytes([len(label)]) + label + message
        if not first(key[:2592], message, signature[:4627]):
            return False
        try:
            second = slhdsa.PublicKey.from_digest(key[2592:], slhdsa.sha2_128f)
            return bool(second.verify_pure(message, signature[4627:], ctx=b""))
        except (slhdsa.SLHDSAException, ValueError, IndexError, AssertionError):
            return False

    return verify


# --- 3: genesis ------------------------------------------------------------------------------------------------------------------


def unique_keys(pairs):
    keys = [key for key, _ in pairs]
    need(len(keys) == len(set(keys)), f"a key stands twice in {sorted(keys)}")
    return dict(pairs)


def no_constant(name):
    raise Refused(f"{name} is not JSON")


def read_json(path):
    with open(path, "rb") as file:
        text = file.read().decode("utf-8")
    # "-0" is not a plain integer.
    plain = lambda digits: -0.0 if digits == "-0" else int(digits)  # noqa: E731
    return json.loads(text, object_pairs_hook=unique_keys, parse_constant=no_constant, parse_int=plain)


def fields(value, what, required, optional=()):
    need(isinstance(value, dict), f"{what} is not an object")
    for key in value:
        need(key in required or key in optional, f"{what}: unknown key {key}")
    for key in required:
        need(key in value, f"{what}: {key} is missing")
    return value


def integer(value, bound, what):
    # In Python True is an int, and 1.0 equals 1.
    need(type(value) is int and 0 <= value <= bound, f"{what} is not an integer from 0 to {bound}")
    return value


def string(value, what):
    need(isinstance(value, str), f"{what} is not a text")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise Refused(f"{what} is not Unicode") from None
    return value


def boolean(value, what):
    need(isinstance(value, bool), f"{what} is not true or false")
    return value


U16, U32, U64 = (1 << 16) - 1, (1 << 32) - 1, (1 << 64) - 1


def check_name(name, what):
    need(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}", string(name, what)), f"{what} {name!r} is not usable")
    return name


def check_address(address, what):
    need(len(string(address, what).encode()) <= 256, f"{what} is too long")
    host, colon, port = address.rpartition(":")
    fine = re.fullmatch(r"[!-~]+", host) and colon and re.fullmatch(r"[0-9]+", port, re.ASCII) and 1 <= int(port) <= 65_535
    need(fine, f"{what} {address!r} is not host:port")
    return address


def public_key(text, algorithm, what):
    name, colon, encoded = string(text, what).partition(":")
    need(colon and name == algorithm, f"{what} is not a key of {algorithm}")
    key = from_base64(encoded, what)
    need(len(key) == ALGORITHMS[algorithm][1], f"{what} has a wrong length")
    return key


def identity_key(text, what):
    if text is None:
        return u8(0)
    match = re.fullmatch(r"([0-9]+):((?:[0-9a-fA-F]{2})*)", string(text, what), re.ASCII)
    need(match and 1 <= int(match[1]) <= 255, f"{what} is not <algorithm id>:<hex>")
    key = bytes.fromhex(match[2])
    need(len(key) <= MAX_KEY, f"{what} is too long")
    return u8(int(match[1])) + lengthed(key)


class Genesis:
    """Sections 3.1 to 3.3: reads, checks and encodes a genesis."""

    def __init__(self, json_value):
        g = fields(json_value, "genesis", (
            "format", "network", "created_us", "level", "security_level", "epoch", "validators", "max_byzantine", "max_crashed",
            "thresholds", "fast_path", "leader_schedule", "sizes", "max_timeout_ms", "clock_drift_ms_max", "finality_lag_views",
            "key_rotation_interval_s"))
        need(integer(g["format"], U32, "format") == 1, "the genesis has an unknown format")
        self.network = check_name(g["network"], "network")
        created = integer(g["created_us"], MAX_NUMBER, "created_us")
        level = integer(g["level"], U32, "level")
        need(level in LEVELS, f"there is no level {level}")
        level_id, self.algorithm, self.hash = LEVELS[level]
        policy = string(g["security_level"], "security_level")
        need(policy in POLICIES, f"security_level {policy!r} is unknown")
        need(policy != "cnsa" or level == 1024, "security_level cnsa needs level 1024")
        self.epoch = integer(g["epoch"], MAX_NUMBER, "epoch")
        need(self.epoch == 0, "a network begins with epoch 0")
        members = self.read_validators(g["validators"])
        self.read_quorum(g)
        ratios = b""
        for name in ("base_ppm", "low_ppm", "high_ppm"):
            ppm = integer(g["thresholds"][name], U32, name)
            need(ppm % 100 == 0 and 100 <= ppm <= 1_000_000, f"{name} is not a multiple of 100 from 100 to 1000000")
            ratios += u32(ppm // 100)
        need(g["thresholds"]["low_ppm"] <= g["thresholds"]["high_ppm"], "low_ppm is above high_ppm")
        self.fast_path = boolean(g["fast_path"], "fast_path")
        need(g["leader_schedule"] == "round_robin", "leader_schedule is unknown")
        limits = self.read_limits(g)
        quorum = b"".join(map(u32, (self.n, self.f, self.c, self.q_min, self.q_max, self.q_fast)))
        config = (u64(self.epoch) + u8(level_id) + u8(POLICIES[policy]) + u32(self.n) + members + quorum + ratios
                  + u8(self.fast_path) + u8(0) + limits)
        self.chain_id = self.tagged(GENESIS_TAG, u32(1) + lengthed(self.network.encode()) + u64(created) + config)
        self.config_hash = self.tagged(b"agent-mesh/config/v1", config)
        if level == 2048:
            self.verify_bytes = two_families_verifier()
        else:
            self.verify_bytes = ed25519_verifier() if level == 0 else ml_dsa_verifier(self.algorithm)

    def read_validators(self, entries):
        need(isinstance(entries, list) and 1 <= len(entries) <= MAX_VALIDATORS, "validators is not a list of 1 to 1000")
        self.n = len(entries)
        self.names, self.keys = [], []
        addresses, links, encoded = [], [], b""
        link_algorithm = "ml-dsa-87" if self.algorithm == TWO_FAMILIES else self.algorithm
        for place, entry in enumerate(entries):
            what = f"validator {place}"
            v = fields(entry, what, ("index", "name", "address", "session_key", "link_key"), ("identity_key",))
            need(integer(v["index"], U16, f"{what}: index") == place, f"{what} has another index")
            self.names.append(check_name(v["name"], f"{what}: name"))
            addresses.append(check_address(v["address"], f"{what}: address"))
            self.keys.append(public_key(v["session_key"], self.algorithm, f"{what}: session_key"))
            links.append(public_key(v["link_key"], link_algorithm, f"{what}: link_key"))
            encoded += lengthed(self.names[-1].encode()) + lengthed(addresses[-1].encode())
            for algorithm, key in ((self.algorithm, self.keys[-1]), (link_algorithm, links[-1])):
                encoded += u8(ALGORITHMS[algorithm][0]) + lengthed(key)
            encoded += identity_key(v.get("identity_key"), f"{what}: identity_key")
        for what, values in (("name", self.names), ("address", addresses), ("session key", self.keys), ("link key", links)):
            need(len(set(values)) == len(values), f"two validators have the same {what}")
        need(not set(self.keys) & set(links), "a key signs votes and authenticates links")
        return encoded

    def read_quorum(self, g):
        t = fields(g["thresholds"], "thresholds", ("base_ppm", "low_ppm", "high_ppm", "q_min", "q_max", "q_fast"))
        n = self.n
        f, c = integer(g["max_byzantine"], U32, "max_byzantine"), integer(g["max_crashed"], U32, "max_crashed")
        q_min, q_max, q_fast = (integer(t[name], U32, name) for name in ("q_min", "q_max", "q_fast"))
        p, certain = n - q_fast, n - f - c
        conditions = {
            "S1": 2 * q_min > n + f,
            "S2": q_min > p + f,
            "S3": 2 * q_fast > n + f,
            "L0": certain >= q_min,
            "L1": certain >= p + 2 * f + 1,
            "L2": certain + 1 >= 2 * p + 2 * f,
            "the range of q_max": q_min <= q_max <= n - f,
            "the range of q_fast": 1 <= q_min <= q_fast <= n,
        }
        for name, holds in conditions.items():
            need(holds, f"the quorum numbers are not safe: {name} fails")
        self.f, self.c, self.q_min, self.q_max, self.q_fast = f, c, q_min, q_max, q_fast

    def read_limits(self, g):
        sizes = fields(g["sizes"], "sizes", ("max_value_bytes", "max_block_bytes"))
        value = integer(sizes["max_value_bytes"], U32, "max_value_bytes")
        self.max_block_bytes = integer(sizes["max_block_bytes"], U32, "max_block_bytes")
        need(1 <= value <= MAX_VALUE, "max_value_bytes is out of range")
        need(value + 30 <= self.max_block_bytes <= 64 * 1024 * 1024, "max_block_bytes is out of range")
        encoded = u32(value) + u32(self.max_block_bytes)
        ranges = (("max_timeout_ms", 1_000, 86_400_000), ("clock_drift_ms_max", 1, 60_000),
                  ("finality_lag_views", 1, 1_000), ("key_rotation_interval_s", 5, 31_536_000))
        for name, low, high in ranges:
            number = integer(g[name], U64, name)
            need(low <= number <= high, f"{name} is out of range")
            encoded += u64(number)
        return encoded

    def tagged(self, tag, *parts):
        return self.hash(u8(len(tag)) + tag + b"".join(parts)).digest()

    def leader(self, view):
        return (view % self.n + self.epoch % self.n) % self.n

    def check_signature(self, signer, domain, message, signature, what):
        need(signer < self.n, f"{what}: no validator has index {signer}")
        good = len(signature) == ALGORITHMS[self.algorithm][2]
        good = good and self.verify_bytes(self.keys[signer], u8(len(domain)) + domain + message, signature)
        need(good, f"{what} has an invalid signature")


# --- 4 to 6: proposals, headers, votes ---------------------------------------------------------------------------------------------


class Proposal:
    """Section 4."""

    def __init__(self, reader):
        self.deadline = reader.number("deadline")
        self.priority = reader.u8("priority")
        need(self.priority <= MAX_PRIORITY, "the priority is out of range")
        self.nonce = reader.u64("nonce")
        self.value = reader.bytes(MAX_VALUE, "value")

    def id(self, genesis):
        parts = (genesis.chain_id, u64(self.deadline), u8(self.priority), u64(self.nonce), self.value)
        return genesis.tagged(PROPOSAL_TAG, *parts)


def merkle_root(genesis, leaf, index, count, siblings):
    """Section 4: the root that a leaf has with its siblings."""
    need(index < count, "the index is not below the count")
    node, at, width, rest = leaf, index, count, list(siblings)
    while width > 1:
        if at ^ 1 < width:
            need(rest, "the inclusion path is too short")
            sibling = rest.pop(0)
            node = genesis.tagged(NODE_TAG, *((node, sibling) if at % 2 == 0 else (sibling, node)))
        at, width = at // 2, (width + 1) // 2
    need(not rest, "the inclusion path is too long")
    return node


ORDINARY, CLOSING, CARRIER = 0, 1, 2


class Header:
    """Section 5."""

    def __init__(self, reader):
        start = reader.at
        need(reader.u16("header version") == 1, "a header has an unknown version")
        self.chain_id = reader.digest("chain id")
        self.epoch = reader.number("epoch")
        self.view = reader.number("view")
        self.leader = reader.u16("leader")
        self.parent_view = reader.number("parent view")
        self.parent_hash = reader.digest("parent hash")
        self.height = reader.number("height")
        self.payload_root = reader.digest("payload root")
        self.payload_len = reader.u32("payload length")
        self.threshold = reader.u16("threshold")
        self.time = reader.number("block time")
        self.kind = reader.u8("block kind")
        need(self.kind in (ORDINARY, CLOSING, CARRIER), "the block kind is out of range")
        self.closing = (reader.digest("next configuration"), reader.digest("blocks root")) if self.kind == CLOSING else None
        self.encoded = reader.since(start)

    def hash(self, genesis):
        return genesis.tagged(HEADER_TAG, self.encoded)

    def check_form(self, genesis):
        need(self.chain_id == genesis.chain_id, "a header is of another network")
        need(self.epoch == genesis.epoch, "a header is of another epoch")
        need(self.view > 0 and self.parent_view < self.view, "a header's view is not above its parent's")
        need(self.height > 0, "a header has height 0")
        need(self.payload_len <= genesis.max_block_bytes, "a header's body is too large")
        need(self.leader == genesis.leader(self.view), "a header names another leader than its view has")
        need(genesis.q_min <= self.threshold <= genesis.q_max, "a header's threshold is out of range")

    def check_child_of(self, parent, genesis):
        need(self.parent_hash == parent.hash(genesis), "a descendant does not name the header before it")
        need(self.parent_view == parent.view, "a descendant names another view of its parent")
        need((parent.kind != ORDINARY) == (self.kind == CARRIER), "carriers, and nothing else, follow a closing block")
        need(self.height == parent.height + (self.kind != CARRIER), "heights are not consecutive")
        need(self.time > parent.time, "block time does not advance")


class SignedHeader:
    def __init__(self, reader):
        self.header = Header(reader)
        self.signature = reader.bytes(MAX_SIGNATURE, "signature")

    def check(self, genesis):
        self.header.check_form(genesis)
        genesis.check_signature(self.header.leader, HEADER_TAG, self.header.encoded, self.signature, "a header")


NOTARIZE, NULLIFY, FINALIZE = 1, 2, 3


def read_statement(reader):
    kind = reader.u8("statement")
    need(kind in (NOTARIZE, NULLIFY, FINALIZE), "a statement has an unknown kind")
    view = reader.number("view")
    block = b"" if kind == NULLIFY else reader.digest("block hash")
    return kind, view, block


class Vote:
    """Section 6: a signed header or a bundle. `statements` are (kind, view, block)."""

    def __init__(self, reader, genesis):
        tag = reader.u8("vote tag")
        need(tag in (1, 2), "a vote has an unknown tag")
        self.signed = None
        if tag == 1:
            self.signed = SignedHeader(reader)
            header = self.signed.header
            self.signer = header.leader
            self.statements = [(NOTARIZE, header.view, header.hash(genesis))]
            return
        start = reader.at
        need(reader.u16("bundle version") == 1, "a bundle has an unknown version")
        self.chain_id = reader.digest("chain id")
        self.epoch = reader.number("epoch")
        self.signer = reader.u16("signer")
        count = reader.u8("statement count")
        need(1 <= count <= MAX_STATEMENTS, "a bundle has no statement, or too many")
        self.statements = [read_statement(reader) for _ in range(count)]
        order = [(view, kind, len(block), block) for kind, view, block in self.statements]
        need(all(a < b for a, b in zip(order, order[1:])), "the statements of a bundle are not in order")
        self.encoded = reader.since(start)
        self.signature = reader.bytes(MAX_SIGNATURE, "signature")

    def check(self, genesis):
        if self.signed:
            return self.signed.check(genesis)
        need(self.chain_id == genesis.chain_id, "a vote is of another network")
        need(self.epoch == genesis.epoch, "a vote is of another epoch")
        need(all(view > 0 for _, view, _ in self.statements), "a vote speaks of view 0")
        genesis.check_signature(self.signer, VOTES_TAG, self.encoded, self.signature, "a vote")


# --- 7: certificates ---------------------------------------------------------------------------------------------------------------

PATHS = {1: "fast", 2: "slow"}


def weigh(genesis, path, votes, target):
    """Section 7: the weight of a finality certificate for the header `target`, all signatures included."""
    view, block = target.view, target.hash(genesis)
    need(len(votes) <= 2 * genesis.n, "the certificate has more than two votes per validator")
    notarized, finalized, nullified = {}, {}, set()
    for vote in votes:
        added = False
        for kind, at, hashed in vote.statements:
            if at != view:
                continue
            if kind == NULLIFY:
                added |= vote.signer not in nullified
                nullified.add(vote.signer)
                continue
            tables = (notarized,) if kind == NOTARIZE else (notarized, finalized)
            for table in tables:
                mine = table.setdefault(vote.signer, set())
                added |= hashed not in mine
                mine.add(hashed)
        need(added, "a vote adds nothing to the certificate")

    def supports(signer):
        mine = notarized.get(signer, ())
        return block in mine or len(mine) >= 2

    if path == "fast":
        need(genesis.fast_path, "the network has no fast path")
        weight, needed = sum(1 for signer in notarized if supports(signer)), genesis.q_fast
    else:
        weight, needed = sum(1 for mine in finalized.values() if block in mine), max(target.threshold, genesis.q_min)
    need(weight >= needed, f"{weight} of {needed} votes needed for the {path} path")
    for vote in votes:
        counts = supports(vote.signer) if path == "fast" else (FINALIZE, view, block) in vote.statements
        need(counts, "a vote does not count for the block")
    for vote in votes:
        vote.check(genesis)
    return weight


def strength(genesis, path, weight):
    if path == "fast":
        return genesis.f + weight - genesis.q_fast
    return max(0, weight + genesis.q_min - genesis.n - 1)


# --- 8 and 9: proof and result -----------------------------------------------------------------------------------------------------


# Links carry identity signatures (HSS/LMS, SLH-DSA), which this script does not verify.
LATER_EPOCHS = "the block's epoch is over, or is not the first: this script checks proofs by votes of epoch 0 only; use agent-mesh verify"


def verify_proof(genesis, data):
    """Section 8: what the proof shows, as the fields of a result."""
    reader = Reader(data)
    need(reader.raw(4, "magic") == b"AMvp", "these bytes are not a proof")
    need(reader.u16("proof version") == 2, "the proof has an unknown version")
    proposal = Proposal(reader)
    index, count = reader.u32("index"), reader.u32("count")
    siblings = reader.list(MAX_SIBLINGS, "siblings", lambda r: r.digest("sibling"))
    system_count = reader.u32("system transactions")
    system_root = reader.digest("system root") if system_count else b""
    first = SignedHeader(reader)
    kind = reader.u8("finality")
    need(kind in (1, 2), "the kind of finality is unknown")
    if kind == 2:
        reader.list(MAX_SIBLINGS, "siblings", lambda r: r.digest("sibling"))
        first_link, links = reader.number("first link"), reader.u32("links")
        need(first_link + links == first.header.epoch + 1 and links > 0, "the links are not those of the block's epoch")
        raise NotChecked(LATER_EPOCHS)
    descendants = reader.list(MAX_DESCENDANTS, "descendants", Header)
    path = PATHS.get(reader.u8("finality path"))
    need(path, "the finality path is unknown")
    votes = reader.list(MAX_VOTES, "votes", lambda r: Vote(r, genesis))
    first_link, links = reader.number("first link"), reader.u32("links")
    need(first_link + links == first.header.epoch, "the links are not those of the block's epoch")
    if first.header.epoch > 0:
        raise NotChecked(LATER_EPOCHS)
    reader.finish()

    first.check(genesis)
    header = target = first.header
    for descendant in descendants:
        descendant.check_form(genesis)
        descendant.check_child_of(target, genesis)
        target = descendant
    proposal_id = proposal.id(genesis)
    root = merkle_root(genesis, proposal_id, index, count, siblings)
    need(genesis.tagged(PAYLOAD_TAG, u32(system_count), u32(count), root, system_root) == header.payload_root, "the value is not in the block")
    need(header.time <= proposal.deadline, "the block is dated after the proposal's deadline")
    weight = weigh(genesis, path, votes, target)

    try:
        value, value_b64 = proposal.value.decode("utf-8"), None
    except UnicodeDecodeError:
        value, value_b64 = None, base64.b64encode(proposal.value).decode()
    return {
        "id": proposal_id.hex(),
        "state": "final",
        "value": value,
        "value_b64": value_b64,
        "height": header.height,
        "index": index,
        "block_hash": header.hash(genesis).hex(),
        "epoch": header.epoch,
        "view": header.view,
        "leader": genesis.names[header.leader],
        "threshold": header.threshold,
        "path": path,
        "finalized_by_height": target.height,
        "weight": weight,
        "strength": strength(genesis, path, weight),
    }


def verify_result(genesis, result):
    """Section 9: recomputes every field but phases_ms; returns what the proof shows."""
    known = ("value", "value_b64", "height", "index", "block_hash", "epoch", "view", "leader", "threshold", "path",
             "finalized_by_height", "weight", "strength", "phases_ms", "proof_b64")
    fields(result, "result", ("id", "state"), known)
    need(result["state"] == "final", f"the state is {result['state']!r}: only a final result has a proof")
    proof = from_base64(string(result.get("proof_b64"), "proof_b64"), "proof_b64")
    phases = result.get("phases_ms")
    if phases is not None:
        fields(phases, "phases_ms", ("verification", "optimization", "consensus", "total"))
        need(all(type(phase) in (int, float) for phase in phases.values()), "phases_ms holds something else than numbers")
    shown = verify_proof(genesis, proof)
    for key, proven in shown.items():
        said = result.get(key)
        need(type(said) is type(proven) and said == proven, f"{key} is {said!r}, but the proof shows {proven!r}")
    return shown


def main(arguments):
    if len(arguments) != 2:
        print("usage: python3 verify.py genesis.json result.json", file=sys.stderr)
        return 2
    try:
        genesis = Genesis(read_json(arguments[0]))
        shown = verify_result(genesis, read_json(arguments[1]))
    except (NotChecked, OSError) as error:
        print(f"NOT CHECKED: {error}", file=sys.stderr)
        return 1
    except (Refused, ValueError, RecursionError) as error:  # ValueError: not UTF-8, not JSON
        print(f"REFUSED: {error}", file=sys.stderr)
        return 1
    print(f"OK: the value is final in the network {genesis.network!r} (chain {genesis.chain_id.hex()}).")
    for key, value in shown.items():
        if value is not None:
            print(f"  {key}: {value if type(value) is int or len(value) <= 200 else value[:200] + '…'}")
    print("  phases_ms, if present, is the node's word and was not checked.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
