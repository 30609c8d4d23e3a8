"""A few of many files, for trials whose result is to stand for all of them."""


def spread(total: int, count: int | None) -> list[int]:
    """Return `count` places, evenly spread over 0 to `total` - 1; all of them if there are no more, or for None."""
    if count is None or count >= total:
        return list(range(total))
    return [place * total // count for place in range(count)]
