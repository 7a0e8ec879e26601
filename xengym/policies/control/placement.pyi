PLACEMENTS: tuple[str, ...]
