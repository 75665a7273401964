#!/usr/bin/env python3
"""Opens the container of docs/vectors/container-768.json from docs/formats.md section 17 alone; shares no code with agent-mesh.

    pip install kyber-py cryptography && python3 docs/vectors/container.py

Exit code 0: it opens, and every changed copy is refused.
"""

import base64
import hashlib
import json
import pathlib
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from kyber_py.ml_kem import ML_KEM_768

TAG = b"agent-mesh/container/v1"
KEY_ID = b"agent-mesh/kem-key-id/1"
CHUNK = 65_536


def tagged(tag, data):
    return hashlib.sha256(bytes([len(tag)]) + tag + data).digest()


def opened(container, secret, public, aad):
    """The plaintext; raises ValueError or InvalidTag."""
    magic, version, kem, cipher, chunk = struct.unpack(">4sHBBI", container[:12])
    if (magic, version, kem, cipher, chunk) != (b"AMqe", 1, 2, 1, CHUNK):
        raise ValueError("header")
    if container[12:44] != tagged(KEY_ID, bytes([kem]) + public):
        raise ValueError("key id")
    header, rest = container[: 44 + 1088], container[44 + 1088 :]
    shared = ML_KEM_768.decaps(secret, header[44:])
    context = tagged(TAG, header + struct.pack(">Q", len(aad)) + aad)
    material = HKDF(SHA256(), 39, None, TAG + context).derive(shared)
    key, prefix = AESGCM(material[:32]), material[32:]
    plain, number = b"", 0
    while True:
        part, rest = rest[: CHUNK + 16], rest[CHUNK + 16 :]
        last = not rest
        if last and number and len(part) <= 16:
            raise ValueError("empty last chunk")
        plain += key.decrypt(prefix + struct.pack(">IB", number, last), part, b"")
        number += 1
        if last:
            return plain


def main():
    vector = json.loads((pathlib.Path(__file__).parent / "container-768.json").read_text())
    secret, public = bytes.fromhex(vector["decapsulation_key"]), bytes.fromhex(vector["encapsulation_key"])
    container = base64.b64decode(vector["container_b64"])
    aad = vector["aad"].encode()
    plain = opened(container, secret, public, aad)
    if hashlib.sha256(plain).hexdigest() != vector["plaintext_sha256"] or len(plain) != vector["plaintext_bytes"]:
        return "the plaintext differs"
    copies = [container[:-1], container[: 44 + 1088 + CHUNK + 16], container + b"\0"]
    for at in (3, 7, 20, 44, 1131, 1132, 70_000, len(container) - 1):
        copies.append(container[:at] + bytes([container[at] ^ 1]) + container[at + 1 :])
    for copy in copies:
        try:
            opened(copy, secret, public, aad)
        except (ValueError, InvalidTag):
            continue
        return "a changed copy opens"
    print(f"the container opens: {len(plain)} bytes; {len(copies)} changed copies are refused")
    return None


if __name__ == "__main__":
    sys.exit(main())
