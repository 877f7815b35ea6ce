"""DER (X.690), as much as timestamps and a few certificate extensions need: written and read by hand, so that a test
can write what no library would."""

from __future__ import annotations

from typing import NamedTuple


def tlv(tag: int, *contents: bytes) -> bytes:
    """One element: its tag, its length, its content."""
    content = b"".join(contents)
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def sequence(*contents: bytes) -> bytes:
    return tlv(0x30, *contents)


def set_of(*contents: bytes) -> bytes:
    """A SET OF: DER sorts the elements."""
    return tlv(0x31, *sorted(contents))


def integer(value: int) -> bytes:
    return tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def octets(content: bytes) -> bytes:
    return tlv(0x04, content)


def boolean(value: bool) -> bytes:
    return tlv(0x01, b"\xff" if value else b"\x00")


def utf8(text: str) -> bytes:
    return tlv(0x0C, text.encode("utf-8"))


def oid(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    encoded = bytearray()
    for number in (first * 40 + second, *rest):
        part = [number & 0x7F]
        while number := number >> 7:
            part.append(0x80 | (number & 0x7F))
        encoded += bytes(reversed(part))
    return tlv(0x06, bytes(encoded))


class Element(NamedTuple):
    """An element that was read."""

    tag: int
    content: bytes

    @property
    def raw(self) -> bytes:
        return tlv(self.tag, self.content)

    def children(self) -> list[Element]:
        return read_all(self.content)


def read_all(data: bytes) -> list[Element]:
    """Every element of `data`, one after the other. Raises ValueError for what is no DER."""
    found = []
    while data:
        if len(data) < 2:
            raise ValueError("no DER: cut off")
        tag, size, start = data[0], data[1], 2
        if size & 0x80:
            start += size & 0x7F
            size = int.from_bytes(data[2:start], "big")
        if len(data) < start + size:
            raise ValueError("no DER: cut off")
        found.append(Element(tag, data[start : start + size]))
        data = data[start + size :]
    return found
