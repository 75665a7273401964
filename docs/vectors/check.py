#!/usr/bin/env python3
"""Runs docs/verify.py over the vectors beside this file, and over changed copies of them that must be refused.

    python3 docs/vectors/check.py            all vectors, and changes spread over each (a minute)
    python3 docs/vectors/check.py --all      every byte of every classical proof, several ways (some minutes)
"""

import base64
import copy
import pathlib
import random
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
sys.dont_write_bytecode = True
import verify  # noqa: E402


def holds(genesis, result):
    try:
        verify.verify_result(genesis, result)
        return True
    except verify.Refused:
        return False


def expect(wanted, genesis, result, what):
    if holds(genesis, result) != wanted:
        sys.exit(f"{what}: {'refused' if wanted else 'ACCEPTED'}, which is wrong")


def changed_proofs(proof, positions, flips):
    for at in positions:
        for flip in flips:
            changed = bytearray(proof)
            changed[at] ^= flip
            yield f"byte {at} ^ {flip:#04x}", bytes(changed)


def changed_fields(result):
    for key, value in result.items():
        if key in ("phases_ms", "proof_b64"):
            continue
        others = [None, str(value) + "x"] if isinstance(value, str) else [None, value + 1, float(value), str(value), True]
        for other in others:
            yield f"{key} = {other!r}", {**result, key: other}
        yield f"without {key}", {k: v for k, v in result.items() if k != key}
    for key in ("value", "value_b64"):
        if key not in result:
            yield f"{key} added", {**result, key: ""}
    yield "unknown key", {**result, "extra": 1}
    for state in ("pending", "expired", "refused"):
        yield state, {**result, "state": state}


def changed_geneses(value):
    def with_change(path, new):
        changed = copy.deepcopy(value)
        at = changed
        for step in path[:-1]:
            at = at[step]
        at[path[-1]] = new
        return changed

    for key, new in (("network", "other"), ("created_us", value["created_us"] + 1), ("security_level", "standard"),
                     ("security_level", "high"), ("epoch", 1), ("fast_path", not value["fast_path"]), ("max_timeout_ms", 3_600_001),
                     ("clock_drift_ms_max", 501), ("finality_lag_views", 5), ("key_rotation_interval_s", 3_601)):
        if value[key] != new:
            yield key, with_change([key], new)
    for key, step in (("base_ppm", 100), ("low_ppm", 100), ("high_ppm", -100), ("q_max", -1)):
        yield key, with_change(["thresholds", key], value["thresholds"][key] + step)
    yield "sizes", with_change(["sizes", "max_value_bytes"], 65_537)
    yield "block size", with_change(["sizes", "max_block_bytes"], 4_194_305)
    for key, new in (("name", "someone"), ("address", "elsewhere:1"), ("identity_key", "5:00"),
                     ("link_key", value["validators"][1]["session_key"])):
        yield key, with_change(["validators", 0, key], new)


def check_genesis(name):
    value = verify.read_json(HERE / f"genesis-{name}.json")
    genesis = verify.Genesis(value)
    said = (HERE / f"genesis-{name}.txt").read_text().split()
    if said != ["chain_id", genesis.chain_id.hex(), "config_hash", genesis.config_hash.hex()]:
        sys.exit(f"genesis-{name}: other hashes than {said}")
    return value, genesis


def main(thorough):
    random.seed(1)
    geneses = {path.stem[len("genesis-"):]: None for path in sorted(HERE.glob("genesis-*.json"))}
    for name in geneses:
        geneses[name] = check_genesis(name)
    accepted = refused = 0
    for path in sorted(HERE.glob("refused-*.json")):
        expect(False, geneses[path.stem.split("-")[1]][1], verify.read_json(path), path.name)
        refused += 1
    for path in sorted(HERE.glob("result-*.json")):
        network = path.stem.split("-")[1]
        value, genesis = geneses[network]
        result = verify.read_json(path)
        expect(True, genesis, result, path.name)
        accepted += 1
        for what, changed in changed_fields(result):
            expect(False, genesis, changed, f"{path.name}: {what}")
            refused += 1
        proof = base64.b64decode(result["proof_b64"])
        classical = network in ("classical", "nofast")
        if classical and thorough:
            changes = changed_proofs(proof, range(len(proof)), (0x01, 0x80, 0xFF))
        else:
            positions = random.sample(range(len(proof)), 200 if classical else 25)
            changes = changed_proofs(proof, positions, (0x01,))
        cuts = [("cut", proof[:-1]), ("longer", proof + b"\0"), ("empty", b"")]
        for what, changed in [*changes, *cuts]:
            dressed = {**result, "proof_b64": base64.b64encode(changed).decode()}
            expect(False, genesis, dressed, f"{path.name}: {what}")
            refused += 1
        if path.stem.endswith(("-fast", "nofast-slow")):
            for what, other in changed_geneses(value):
                try:
                    changed = verify.Genesis(other)
                except verify.Refused:
                    refused += 1
                    continue
                expect(False, changed, result, f"{path.name} in a genesis with another {what}")
                refused += 1
        for name, (_, other) in geneses.items():
            if name != network:
                expect(False, other, result, f"{path.name} in the network {name}")
                refused += 1
    print(f"{len(geneses)} geneses, {accepted} results accepted, {refused} refused, all as they should be")


if __name__ == "__main__":
    main("--all" in sys.argv[1:])
