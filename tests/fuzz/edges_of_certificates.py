"""What a server shows as its certificate: whoever stands at a door of ours made it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from reconciler.certificates import leaf
from reconciler.certificates.ending import Door, news
from reconciler.certificates.handshake import Shown
from shards.certificates import Claim, Known, Place, Question, judged
from tests.fuzz.fuzzing import Edge, simply
from tests.fuzz.mutating import Mutator

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DOOR = Door("git.lab", "websecure", "127.0.0.1", 443)
CLAIMS = (Claim("git", ("websecure",), tls=True),)
QUESTION = Question("git.lab", Place("websecure", "127.0.0.1", 443, tls=True), CLAIMS)
KNOWN = Known({"git.lab": CLAIMS}, {"websecure": QUESTION.place}, resolvers=None)

Part = list[Any]
"""A tag of DER, and what is in it: bytes, or parts."""


def _sample() -> bytes:
    """With a name of each sort; its key is no chance, so an input can be thrown again."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "git.lab")])
    names = x509.SubjectAlternativeName(
        [
            x509.DNSName("git.lab"),
            x509.IPAddress(ip_address("10.0.0.1")),
            x509.RFC822Name("ada@git.lab"),
            x509.UniformResourceIdentifier("https://git.lab/"),
            x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
            x509.DirectoryName(name),
            x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x0c\x01a"),
        ]
    )
    made = x509.CertificateBuilder(name, x509.Name([*name, x509.NameAttribute(NameOID.COUNTRY_NAME, "CH")]))
    made = made.public_key(key.public_key()).serial_number(4711)
    made = made.not_valid_before(datetime(2026, 1, 1, tzinfo=UTC)).not_valid_after(datetime(2026, 12, 1, tzinfo=UTC))
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return made.add_extension(names, critical=False).sign(key, None).public_bytes(Encoding.DER)


def _parts(content: bytes) -> list[Part]:
    found, at = [], 0
    while at < len(content):
        tag, length, at = content[at], content[at + 1], at + 2
        if length & 0x80:
            sizes, at = length & 0x7F, at + (length & 0x7F)
            length = int.from_bytes(content[at - sizes : at])
        inside, at = content[at : at + length], at + length
        # Extensions are packed into strings; none of the sample's other strings begins as one does.
        packed = tag == 0x04 and inside[:1] == b"\x30"
        found.append([tag, _parts(inside) if tag & 0x20 or packed else inside])
    return found


def _bytes(parts: list[Part]) -> bytes:
    whole = b""
    for tag, inside in parts:
        content = _bytes(inside) if isinstance(inside, list) else inside
        size = len(content).to_bytes((len(content).bit_length() + 7) // 8)
        whole += bytes([tag]) + (size or b"\0" if len(content) < 0x80 else bytes([0x80 | len(size)]) + size) + content
    return whole


def _places(parts: list[Part]) -> Iterator[tuple[list[Part], int]]:
    for at, (_, inside) in enumerate(parts):
        yield parts, at
        if isinstance(inside, list):
            yield from _places(inside)


SAMPLE = _sample()
TREE = _parts(SAMPLE)
TAGS = (0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0C, 0x13, 0x16, 0x17, 0x18, 0x1C, 0x1E, 0x30, 0x31, 0xA0, 0xA3, 0xA4)


def _certificate(mutator: Mutator) -> bytes:
    """Another order of parts, other parts, other bytes in them; mostly with lengths that are right."""
    if mutator.chance.random() < 0.2:
        return mutator.content([SAMPLE])
    tree = copy.deepcopy(TREE)
    for _ in range(mutator.chance.choice((0, 1, 1, 1, 2, 3))):
        parts, at = mutator.chance.choice(list(_places(tree)) or [(tree, 0)])
        if not parts:
            break
        match mutator.chance.randrange(5):
            case 0:
                parts[at][0] = mutator.chance.choice((*TAGS, mutator.chance.randrange(256)))
            case 1:
                there, other = mutator.chance.choice(list(_places(TREE)))
                parts[at] = copy.deepcopy(there[other])
            case 2:
                parts.insert(at, copy.deepcopy(parts[at]))
            case 3:
                del parts[at]
            case _ if isinstance(parts[at][1], bytes):
                parts[at][1] = mutator.content([parts[at][1]])
    return _bytes(tree)


def _look(shown: bytes) -> bool:
    """As the chore that looks for what ends does it, and the tool that says what is wrong; then the reading itself."""
    judged(QUESTION, Shown((shown,)), KNOWN, NOW)
    found = leaf.read(shown)
    found.covers("git.lab")
    list(news("traefik", {}, {DOOR: found}, NOW))
    return True


EDGES = (Edge(name="certificate of a door", share=600, make=_certificate, opened=simply(_look), family=(ValueError,)),)
