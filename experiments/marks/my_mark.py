"""KGW (Kirchenbauer et al. 2023) as a mark from outside: crates/marks/PROTOCOL.md says what is asked here and why.

Lines of JSON come in on standard input and go out on standard output; whatever else is printed goes to standard error.
"""
import json
import math
import struct
import sys

MASK = 0xFFFFFFFFFFFFFFFF


def siphash(key, ids):
    """The low 32 bits of SipHash-2-4 of ids, little-endian, 4 bytes each."""
    k0, k1 = struct.unpack("<QQ", key)
    v0, v1, v2, v3 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D, k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573
    text = struct.pack("<%dI" % len(ids), *ids)
    whole = len(text) // 8 * 8
    last = int.from_bytes(text[whole:], "little") | (len(text) & 255) << 56
    for word in [*struct.unpack("<%dQ" % (whole // 8), text[:whole]), last, None]:
        if word is None:
            v2 ^= 0xFF
        else:
            v3 ^= word
        for _ in range(4 if word is None else 2):
            v0, v2 = (v0 + v1) & MASK, (v2 + v3) & MASK
            v1, v3 = (v1 << 13 & MASK | v1 >> 51) ^ v0, (v3 << 16 & MASK | v3 >> 48) ^ v2
            v0 = v0 << 32 & MASK | v0 >> 32
            v2, v0 = (v2 + v1) & MASK, (v0 + v3) & MASK
            v1, v3 = (v1 << 17 & MASK | v1 >> 47) ^ v2, (v3 << 21 & MASK | v3 >> 43) ^ v0
            v2 = v2 << 32 & MASK | v2 >> 32
        if word is not None:
            v0 ^= word
    return (v0 ^ v1 ^ v2 ^ v3) & 0xFFFFFFFF


class Kgw:
    def hello(self, request):
        given = request["parameters"]
        self.key, self.vocab = bytes.fromhex(request["key"]), request["vocab_size"]
        self.end = math.ceil(given["gamma"] * 2**32)  # a draw below it is green
        return {"version": 1, "name": "kgw in Python", "kind": "keyed_set", "delta": given["delta"], "unit": "pairs",
                "context_width": given["context_width"], "null": {"law": "binomial", "rate": self.end / 2**32}}

    def laws(self, request):
        key = bytes.fromhex(request["key"]) if "key" in request else self.key  # named for the likelihood ratio only

        def green(context):
            return [token for token in range(self.vocab) if siphash(key, [*context, token]) < self.end]
        return {"laws": [green(context) for context in request["contexts"]]}

    def scores(self, request):
        key = bytes.fromhex(request["key"])  # the true one, or a decoy
        return {"scores": [int(siphash(key, window) < self.end) for window in request["windows"]]}


mark = Kgw()
for line in sys.stdin:
    request = json.loads(line)
    answer = getattr(mark, request["ask"])(request)
    print(json.dumps({"id": request["id"], **answer}), flush=True)
