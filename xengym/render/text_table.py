"""Plain text tables: aligned columns, one line a row, never wrapped, so that they can be read, piped and compared."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Align rows of cells.

    Args:
        headings: one for each column.
        rows: cells; as many as headings in each row.
        left: so many first columns are aligned to the left, the others to the right.
    """
    widths = [max(len(cell) for cell in column) for column in zip(headings, *rows, strict=True)]

    def line(cells: Sequence[str]) -> str:
        aligned = (
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return "  ".join(aligned).rstrip()

    rule = "-" * len("  ".join(" " * width for width in widths))
    return "\n".join([line(headings), rule, *(line(row) for row in rows)])
