"""Draws harbour.png, the picture of the sample conversation: our own work, dedicated to the public domain (CC0 1.0)."""

import math
import struct
import zlib

WIDTH, HEIGHT = 320, 200


def pixel(x, y):
    horizon = 110
    sun = math.hypot(x - 215, y - 80)
    if y < horizon:
        t = y / horizon
        colour = (40 + 190 * t, 60 + 90 * t, 120 - 30 * t)
        hill = horizon - 26 - 14 * math.sin(x / 37) - 7 * math.sin(x / 11 + 2)
        if sun < 18:
            colour = (255, 226, 150)
        elif sun < 46:
            colour = tuple(c + (46 - sun) * 2.2 for c in colour)
        if y > hill:
            colour = (44, 58, 74)
    else:
        depth = (y - horizon) / (HEIGHT - horizon)
        wave = 10 * math.sin(y * 1.3 + 6 * math.sin(x / 23))
        colour = (96 - 60 * depth + wave, 88 - 40 * depth + wave, 104 - 20 * depth + wave)
        if abs(x - 215) < 12 + 20 * depth and math.sin(y * 1.7) > -0.2:
            colour = (226 - 70 * depth, 170 - 60 * depth, 120 - 40 * depth)
        if 120 <= y <= 132 and 60 + (y - 120) <= x <= 116 - (y - 120):
            colour = (120, 40, 36)
    if 88 <= y < 120 and 86 <= x <= 86 + (y - 88) * 0.7:
        colour = (236, 232, 220)
    return bytes(max(0, min(255, round(c))) for c in colour)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


rows = b"".join(b"\0" + b"".join(pixel(x, y) for x in range(WIDTH)) for y in range(HEIGHT))
with open("harbour.png", "wb") as file:
    file.write(b"\x89PNG\r\n\x1a\n")
    file.write(chunk(b"IHDR", struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)))
    file.write(chunk(b"IDAT", zlib.compress(rows, 9)))
    file.write(chunk(b"IEND", b""))
