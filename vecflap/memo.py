"""A table of states that were seen before. A state is known by a hash of its 2 KiB, of 63 bits: of a million
states, two are taken for each other once in some ten million tables."""

import numpy as np

from vecflap.kernels import inlined, kernel


@inlined
def look(keys, key):
    """The place of a key, or where there is room for it."""
    last = np.uint64(len(keys) - 1)
    place = (np.uint64(key) >> np.uint64(20)) & last
    while keys[place] != key and keys[place] != 0:
        place = (place + np.uint64(1)) & last
    return place


@inlined
def mixed(h, word):
    """The hash of what h is the hash of, and a word more."""
    h = (h ^ np.uint64(word)) * np.uint64(0x9E3779B97F4A7C15)
    return h ^ (h >> np.uint64(29))


@inlined
def hashed(words):
    """The hash of some words."""
    h = np.uint64(1)
    for word in words:
        h = mixed(h, word)
    return h


@kernel(_nrt=False)
def find(words, keys, places, new):
    """Find where states are kept, and give places to new ones. Returns how many those are.

    words: int64 [B, W], in, states. keys: int64 [a power of 2], in and out, hashes, 0 where a place is free.
    places: int64 [B], out. new: int64 [B], out, which states are new, the first of equal ones.
    """
    count = 0
    for b in range(len(words)):
        key = np.int64(hashed(words[b]) | np.uint64(1))
        place = look(keys, key)
        if keys[place] == 0:
            keys[place] = key
            new[count] = b
            count += 1
        places[b] = place
    return count


@kernel(_nrt=False)
def move(keys, numbers, new_keys, new_numbers):
    """Copy what is in a table, see `find`, into another one, of another size, that is empty.

    keys: int64, numbers: int32 [a power of 2], in. new_keys: int64, new_numbers: int32 [another one], out.
    """
    for i in range(len(keys)):
        if keys[i] != 0:
            place = look(new_keys, keys[i])
            new_keys[place], new_numbers[place] = keys[i], numbers[i]
